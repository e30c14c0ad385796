//! Whiteouts in both forms (advisory classes 1.5 and 1.6), special files (1.7).
