//! Tests of the test support itself: a judge must be honest before it judges.

mod images;
mod registry;
