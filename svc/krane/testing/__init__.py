"""What krane's tests run against: a control plane in miniature (`cluster`), an ingress that records, a real engine."""
