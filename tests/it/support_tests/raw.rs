//! The raw server says exactly what it was told.

use std::io::Write as _;
use std::time::Duration;

use crate::support::client::{get, request};
use crate::support::raw::{RawServer, drip, hold, read_head};

#[test]
fn any_bytes() {
    let server =
        RawServer::answering("HTTP/1.1 200 OK\r\nX-\u{1}: y\r\nContent-Length: 2\r\n\r\nabc");
    let reply = get(&server.url());
    assert_eq!((reply.text().as_str(), reply.header("x-\u{1}")), ("ab", Some("y")));
    assert!(RawServer::answering("nonsense\r\n").host().starts_with("127.0.0.1:"));
    let nonsense = RawServer::answering("nonsense\r\n");
    let error = request("GET", &nonsense.url()).try_send().expect_err("not HTTP");
    assert!(error.to_string().contains("nonsense"));
    assert_eq!(nonsense.connections(), 1);
}

#[test]
fn silence_and_dripping() {
    let silent = RawServer::silent();
    let patience = Duration::from_millis(50);
    assert!(request("GET", &silent.url()).patience(patience).try_send().is_err());
    assert_eq!(silent.connections(), 1);

    let server = RawServer::start(|mut stream| {
        let head = read_head(&mut stream);
        drip(&mut stream, b"HTTP/1.1 200 OK\r\n\r\n", Duration::from_millis(1));
        stream.write_all(head.lines().next().unwrap_or_default().as_bytes()).expect("writing");
    });
    assert_eq!(get(&format!("{}/path", server.url())).text(), "GET /path HTTP/1.1");

    let held = RawServer::start(|mut stream| {
        read_head(&mut stream);
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nx").expect("writing");
        hold(stream);
    });
    let reply = request("GET", &held.url()).patience(Duration::from_secs(3)).send();
    assert_eq!((reply.text().as_str(), reply.whole), ("x", false));
}
