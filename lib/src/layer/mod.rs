//! Layers: what a tar archive with whiteouts means on a file system, in both directions.
//!
//! Owns the reading and writing of layer archives, unpacking below a root and packing of a
//! directory tree. Uses `sys` for every touch of the file system. Does not know where layers come
//! from, how they are compressed or what they are called.

pub mod tar;
