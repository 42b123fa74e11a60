"""Generated code of proto/pkg/depot/pb: the part of Depot's API that a build needs."""
