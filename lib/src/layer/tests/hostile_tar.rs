//! Archives that readers disagree about (advisory class 1.8).
