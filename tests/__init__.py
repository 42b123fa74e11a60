"""Tests that need more than one part: integration, e2e, faults, packaging, and the bench."""
