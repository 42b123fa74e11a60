"""What tests of several packages share, above every domain: sample rows of the control database."""
