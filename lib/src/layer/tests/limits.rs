//! Archives that cost too much (advisory class 1.9).
