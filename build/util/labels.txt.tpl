org.opencontainers.image.title=sealift {{BINARY}}
org.opencontainers.image.description={{DESCRIPTION}}
org.opencontainers.image.source={{SOURCE}}
org.opencontainers.image.vendor=Sealift
org.opencontainers.image.version={{VERSION}}
org.opencontainers.image.revision={{REVISION}}
org.opencontainers.image.created={{COMMIT_TIME}}
