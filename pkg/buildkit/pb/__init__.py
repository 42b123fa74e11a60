"""Generated code of proto/pkg/buildkit/pb: the wire of BuildKit, as far as this client needs it."""
