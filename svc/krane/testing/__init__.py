"""What krane's tests run against: a fake control plane (`cluster`), an ingress that records, a real engine."""
