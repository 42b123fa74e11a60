"""What tests of several packages share: sample rows of the control database, and the parts that scripts prepare."""
