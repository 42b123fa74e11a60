"""What a contributor's machine needs: scripts, generators. No part of any product."""
