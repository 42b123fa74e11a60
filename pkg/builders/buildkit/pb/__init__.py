"""Generated code of proto/pkg/builders/buildkit/pb: the wire of BuildKit, as far as this client needs it."""
