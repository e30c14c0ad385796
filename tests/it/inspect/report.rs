//! `report`: one page about an image.

use crate::support::image::{image, layer};
use crate::support::program::Sandbox;

#[test]
fn a_page_needs_nothing_else_and_shows_everything() {
    let sandbox = Sandbox::new();
    let built = image()
        .layer(
            layer()
                .file("var/lib/dpkg/status", "Package: bash\nVersion: 5.2\n")
                .noise("usr/big", 200_000, 1)
                .created_by("RUN make big"),
        )
        .layer(layer().noise("usr/big", 100_000, 2).file("etc/conf", "x"))
        .build();
    built.write_layout(&sandbox.work("l"), Some("1"));
    sandbox.inspect(["report", "oci:l:1", "-o", "report.html"]).run().success();
    let page = std::fs::read_to_string(sandbox.work("report.html")).unwrap();
    for part in [
        "<title>oci:l:1</title>",
        &built.root.digest,
        "RUN make big",
        "<title>/usr/big 100.0 kB</title>",
        "Efficiency 33.3",
        "<td class=m>bash</td><td class=m>5.2</td>",
    ] {
        assert!(page.contains(part), "{part}");
    }
    let policy = "content=\"default-src 'none'; style-src 'unsafe-inline'\"";
    assert!(page.contains(policy));
    for outside in ["http://", "https://", "<script", " src=", "url(", "@import"] {
        assert!(!page.contains(outside), "{outside}");
    }
    let printed = sandbox.inspect(["report", "oci:l:1", "-o", "-"]).run().success();
    assert_eq!(printed.stdout, page);
}

#[test]
fn nothing_in_an_image_becomes_markup() {
    let sandbox = Sandbox::new();
    let evil = "<img src=x onerror=alert(1)>\"'&</svg></pre>";
    let name = evil.replace('/', "");
    let built = image()
        .layer(
            layer()
                .file(&name, vec![b'x'; 9000])
                .file(&format!("{name}/{name}"), vec![b'x'; 9000])
                .file("var/lib/dpkg/status", format!("Package: {name}\nVersion: {name}\n"))
                .file("etc/os-release", format!("PRETTY_NAME={name}\nID=x\n"))
                .created_by(evil),
        )
        .layer(layer().file(&format!("{name}/{name}"), "y"))
        .label("evil", evil)
        .env("EVIL", evil)
        .annotation("org.opencontainers.image.base.name", evil)
        .build();
    built.write_layout(&sandbox.work("l"), Some("1"));
    let page = sandbox.inspect(["report", "oci:l:1", "-o", "-"]).run().success().stdout;
    assert!(!page.contains("<img") && !page.contains("onerror=alert(1)>"), "{page}");
    assert_eq!(page.matches("</svg>").count(), 1);
    assert_eq!(page.matches("</pre>").count(), 1);
    assert!(page.contains("&lt;img src=x onerror=alert(1)&gt;&quot;&#39;&amp;"));
}
