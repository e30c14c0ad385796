//! The page of `report` in a real browser.

use std::io::Read;
use std::time::Duration;

use crate::support::http::RecordingServer;
use crate::support::image::{image, layer};
use crate::support::peers::need;
use crate::support::program::{Output, Sandbox};

/// Nothing is shown that would need a display, and nothing is asked of anybody.
const FLAGS: [&str; 14] = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-extensions",
    "--no-first-run",
    "--no-default-browser-check",
    "--no-proxy-server",
    "--hide-scrollbars",
    "--enable-logging=stderr",
    "--window-size=1000,1600",
];

fn browse(sandbox: &Sandbox, words: &[&str]) -> Output {
    let data = format!("--user-data-dir={}", sandbox.path("browser").display());
    let page = format!("file://{}", sandbox.work("report.html").display());
    let invocation = sandbox.command("chromium", FLAGS).arg(data).args(words).arg(page);
    invocation.start().patience(Duration::from_secs(300)).wait().success()
}

#[test]
fn the_page_is_drawn_and_asks_nobody() {
    need!("chromium");
    let sandbox = Sandbox::new();
    // Whatever the image says that would make a browser ask for something, if it were markup.
    let other = RecordingServer::start();
    let evil = format!(
        "<img src={0}/a><script src={0}/b></script>\"'><style>@import '{0}/c'",
        other.url()
    );
    let built = image()
        .layer(
            layer()
                .file(
                    "var/lib/dpkg/status",
                    format!("Package: bash\nVersion: 5.2\nLicense: {evil}\n"),
                )
                .noise("usr/big", 900_000, 1)
                .noise("usr/lib/other", 400_000, 2)
                .created_by(&format!("RUN make big {evil}")),
        )
        .layer(layer().noise("usr/big", 300_000, 3))
        .label("evil", &evil)
        .env("EVIL", &evil)
        .build();
    built.write_layout(&sandbox.work("l"), Some("1"));
    sandbox.inspect(["report", "oci:l:1", "-o", "report.html"]).run().success();

    let dumped = browse(&sandbox, &["--dump-dom"]);
    let dom = &dumped.stdout;
    for part in [
        "<title>oci:l:1</title>",
        "<h2>Layers</h2>",
        "<td class=\"m\">bash</td>",
        "<title>/usr/big 300.0 kB</title>",
        "<h2>History</h2>",
    ] {
        assert!(dom.contains(part), "{part}\n{dom}");
    }
    assert_eq!(dom.matches("class=\"bar\"").count(), 2, "{dom}");
    assert!(dom.matches("<rect ").count() >= 4, "{dom}");
    for absent in ["<script", "<img", "<link", "<iframe"] {
        assert!(!dom.contains(absent), "{absent}\n{dom}");
    }
    assert!(!dumped.stderr.contains("CONSOLE"), "{dumped}");

    let shot = format!("--screenshot={}", sandbox.work("shot.png").display());
    let shown = browse(&sandbox, &[&shot]);
    assert!(!shown.stderr.contains("CONSOLE"), "{shown}");
    let picture = Picture::decode(&std::fs::read(sandbox.work("shot.png")).unwrap());
    assert_eq!((picture.width, picture.height), (1000, 1600));
    // Of the first layer 1.3 MB, of which 0.9 MB are wasted; of the second 0.3 MB, all wasted.
    let (files, wasted) = (picture.count([0x3b, 0x7d, 0xd8]), picture.count([0xd9, 0x66, 0x3b]));
    assert!(files > 300 && wasted > 300, "{files} {wasted}");
    let ratio = wasted as f64 / files as f64;
    assert!((2.5..3.5).contains(&ratio), "{files} {wasted}");
    // The treemap: the larger file has about the area that its size says.
    let areas: Vec<usize> = picture.largest_areas();
    assert!(areas.len() > 3, "{areas:?}");
    assert_eq!(other.requests().len(), 0, "{:?}", other.requests());
}

/// The pixels of a PNG.
struct Picture {
    width: usize,
    height: usize,
    pixels: Vec<[u8; 3]>,
}

impl Picture {
    /// Eight bits for each of three or four colours, not interlaced: what browsers write.
    fn decode(file: &[u8]) -> Picture {
        let number = |at: usize| u32::from_be_bytes(file[at..at + 4].try_into().unwrap()) as usize;
        assert_eq!(&file[..8], b"\x89PNG\r\n\x1a\n");
        let (width, height) = (number(16), number(20));
        let colours = match file[24..29] {
            [8, 2, 0, 0, 0] => 3,
            [8, 6, 0, 0, 0] => 4,
            ref other => panic!("a form of PNG that is not known: {other:?}"),
        };
        let (mut packed, mut at) = (Vec::new(), 8);
        while at < file.len() {
            let length = number(at);
            if &file[at + 4..at + 8] == b"IDAT" {
                packed.extend(&file[at + 8..at + 8 + length]);
            }
            at += length + 12;
        }
        let mut raw = Vec::new();
        flate2::read::ZlibDecoder::new(&packed[..]).read_to_end(&mut raw).unwrap();
        let row = width * colours;
        let (mut above, mut pixels) = (vec![0; row], Vec::new());
        for line in raw.chunks_exact(row + 1) {
            let (filter, line) = (line[0], &line[1..]);
            let mut now = vec![0_u8; row];
            for at in 0..row {
                let left = if at < colours { 0 } else { now[at - colours] };
                let corner = if at < colours { 0 } else { above[at - colours] };
                let up = above[at];
                let guess = match filter {
                    0 => 0,
                    1 => left,
                    2 => up,
                    3 => ((u16::from(left) + u16::from(up)) / 2) as u8,
                    _ => paeth(left, up, corner),
                };
                now[at] = line[at].wrapping_add(guess);
            }
            pixels.extend(now.chunks_exact(colours).map(|pixel| [pixel[0], pixel[1], pixel[2]]));
            above = now;
        }
        assert_eq!(pixels.len(), width * height);
        Picture { width, height, pixels }
    }

    fn count(&self, colour: [u8; 3]) -> usize {
        self.pixels.iter().filter(|pixel| **pixel == colour).count()
    }

    /// How many pixels the most frequent colours have.
    fn largest_areas(&self) -> Vec<usize> {
        let mut counts = std::collections::HashMap::new();
        self.pixels.iter().for_each(|pixel| *counts.entry(*pixel).or_insert(0) += 1);
        let mut counts: Vec<usize> = counts.into_values().filter(|count| *count > 1000).collect();
        counts.sort_unstable();
        counts
    }
}

fn paeth(left: u8, up: u8, corner: u8) -> u8 {
    let guess = i16::from(left) + i16::from(up) - i16::from(corner);
    let far = |from: u8| (guess - i16::from(from)).abs();
    if far(left) <= far(up) && far(left) <= far(corner) {
        left
    } else if far(up) <= far(corner) {
        up
    } else {
        corner
    }
}
