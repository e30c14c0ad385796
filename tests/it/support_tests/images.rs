//! What the image maker makes is valid.

use crate::support::image::{image, layer};

#[test]
fn same_calls_same_bytes() {
    let make = || {
        image()
            .rich()
            .layer(layer().file("a", "b").xattr("user.x", "y").dir("d").symlink("l", "a"))
            .layer(layer().random(2 << 20, 5).zstd())
            .build()
    };
    assert_eq!(make().root_json(), make().root_json());
}
