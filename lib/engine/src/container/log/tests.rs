use super::*;

fn log(limits: LogLimits, format: LogFormat) -> (tempfile::TempDir, PathBuf, LogWriter) {
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("log");
    let writer = LogWriter::open(&path, format, limits).unwrap();
    (place, path, writer)
}

fn read(path: &Path, format: LogFormat, selection: LogSelection) -> Vec<ReadRecord> {
    let mut reader = LogReader::open(path, format, selection).unwrap();
    std::iter::from_fn(|| reader.next_record().unwrap()).collect()
}

fn text(records: &[ReadRecord]) -> String {
    records.iter().map(|record| String::from_utf8_lossy(&record.text)).collect()
}

const UNLIMITED: LogLimits = LogLimits { max_size: None, max_files: 1 };

#[test]
fn what_is_written_is_read_in_both_formats() {
    for format in [LogFormat::Cri, LogFormat::Json] {
        let (_place, path, mut writer) = log(LogLimits::default(), format);
        writer.write(LogStream::Stdout, b"one\ntwo").unwrap();
        writer.write(LogStream::Stderr, b"oops\n").unwrap();
        assert_eq!(text(&read(&path, format, LogSelection::default())), "one\noops\n");
        assert!(writer.has_begun_line());
        writer.flush().unwrap();
        writer.write(LogStream::Stdout, b" more\n\n").unwrap();
        let records = read(&path, format, LogSelection::default());
        assert_eq!(text(&records), "one\noops\ntwo more\n\n", "{format:?}");
        let begins: Vec<bool> = records.iter().map(|record| record.begins).collect();
        assert_eq!(begins, [true, true, true, false, true]);
        let only = LogSelection { stdout: false, ..LogSelection::default() };
        assert_eq!(text(&read(&path, format, only)), "oops\n");
    }
}

#[test]
fn the_formats_are_those_of_others() {
    let mut out = Vec::new();
    let time = Moment(1_785_000_000_123_456_789).to_string();
    assert_eq!(time, "2026-07-25T17:20:00.123456789Z");
    LogFormat::Cri.write(&mut out, &time, LogStream::Stderr, b"a \xff b", true);
    assert_eq!(out, b"2026-07-25T17:20:00.123456789Z stderr F a \xff b\n");
    out.clear();
    LogFormat::Cri.write(&mut out, &time, LogStream::Stdout, b"", false);
    assert_eq!(out, b"2026-07-25T17:20:00.123456789Z stdout P \n");
    out.clear();
    LogFormat::Json.write(&mut out, &time, LogStream::Stdout, b"say \"hi\"", true);
    let expected =
        r#"{"log":"say \"hi\"\n","stream":"stdout","time":"2026-07-25T17:20:00.123456789Z"}"#;
    assert_eq!(String::from_utf8(out).unwrap(), format!("{expected}\n"));
    // Docker drops the zeros at the end, kubelet's runtimes write an offset, both add fields.
    let docker =
        br#"{"log":"x\n","stream":"stderr","attrs":{"a":"b"},"time":"2026-07-25T17:20:00.5Z"}"#;
    let record = LogFormat::Json.parse(docker).unwrap();
    assert_eq!((record.text.as_slice(), record.ends), (b"x".as_slice(), true));
    assert_eq!(record.time, Moment(1_785_000_000_500_000_000));
    let kubelet = b"2026-07-25T19:20:00.5+02:00 stdout P:x  y";
    let record = LogFormat::Cri.parse(kubelet).unwrap();
    assert_eq!((record.text.as_slice(), record.ends), (b" y".as_slice(), false));
    assert_eq!(record.time, Moment(1_785_000_000_500_000_000));
    assert_eq!(LogFormat::Cri.parse(b"no record"), None);
}

#[test]
fn full_files_are_rotated_and_the_oldest_goes() {
    let limits = LogLimits { max_size: Some(1000), max_files: 3 };
    let (place, path, mut writer) = log(limits, LogFormat::Cri);
    for number in 0..100 {
        writer.write(LogStream::Stdout, format!("line {number:03}\n").as_bytes()).unwrap();
    }
    let mut names: Vec<_> =
        std::fs::read_dir(place.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    names.sort();
    assert_eq!(names, ["log", "log.1", "log.2"]);
    assert!(names.iter().all(|name| place.path().join(name).metadata().unwrap().len() <= 1000));
    let records = text(&read(&path, LogFormat::Cri, LogSelection::default()));
    let expected: String =
        (100 - records.lines().count()..100).map(|number| format!("line {number:03}\n")).collect();
    assert_eq!(records, expected);
    assert!(records.lines().count() > 40, "{records}");
}

#[test]
fn tail_counts_lines_not_records() {
    let (_place, path, mut writer) = log(UNLIMITED, LogFormat::Cri);
    let tail = |count| {
        let selection = LogSelection { tail: Some(count), ..LogSelection::default() };
        text(&read(&path, LogFormat::Cri, selection))
    };
    assert_eq!(tail(3), "");
    writer.write(LogStream::Stdout, b"one\ntwo\n").unwrap();
    let long = "x".repeat(3 * MAX_RECORD_TEXT);
    writer.write(LogStream::Stdout, format!("{long}\n").as_bytes()).unwrap();
    writer.write(LogStream::Stdout, b"last").unwrap();
    writer.flush().unwrap();
    assert_eq!(tail(0), "");
    assert_eq!(tail(1), "last");
    assert_eq!(tail(2), format!("{long}\nlast"));
    assert_eq!(tail(3), format!("two\n{long}\nlast"));
    assert_eq!(tail(100), format!("one\ntwo\n{long}\nlast"));
}

#[test]
fn tail_and_since_reach_into_rotated_files() {
    let limits = LogLimits { max_size: Some(2000), max_files: 50 };
    let (_place, path, mut writer) = log(limits, LogFormat::Cri);
    let mut times = Vec::new();
    for number in 0..400 {
        writer.write(LogStream::Stdout, format!("{number}\n").as_bytes()).unwrap();
        times.push(Moment::now());
    }
    let expected = |from: usize| (from..400).map(|n| format!("{n}\n")).collect::<String>();
    for from in [0, 1, 17, 200, 398, 399] {
        let tail = LogSelection { tail: Some(400 - from as u64), ..LogSelection::default() };
        assert_eq!(text(&read(&path, LogFormat::Cri, tail)), expected(from));
        let since = from.checked_sub(1).map(|before| times[before]);
        let since = LogSelection { since, ..LogSelection::default() };
        let found = text(&read(&path, LogFormat::Cri, since));
        // Two lines may have one time.
        assert!(found.ends_with(&expected(from)), "{from}: {found}");
        assert!(found.lines().count() <= 400 - from + 2, "{from}: {found}");
    }
    let until = LogSelection { until: Some(times[9]), ..LogSelection::default() };
    assert!(
        text(&read(&path, LogFormat::Cri, until)).starts_with("0\n1\n2\n3\n4\n5\n6\n7\n8\n9\n")
    );
}

#[test]
fn since_is_found_by_bisection_in_a_large_file() {
    let (_place, path, mut writer) = log(UNLIMITED, LogFormat::Cri);
    let mut middle = Moment::default();
    for number in 0..20_000 {
        writer
            .write(LogStream::Stdout, format!("a line of some length {number}\n").as_bytes())
            .unwrap();
        if number == 12_344 {
            middle = Moment::now();
        }
    }
    let since = LogSelection { since: Some(middle), ..LogSelection::default() };
    let records = read(&path, LogFormat::Cri, since);
    assert_eq!(records.first().unwrap().text, b"a line of some length 12345\n");
    assert_eq!(records.len(), 20_000 - 12_345);
}

#[test]
fn a_cut_record_is_repaired_and_the_clock_never_goes_back() {
    let (_place, path, mut writer) = log(UNLIMITED, LogFormat::Cri);
    writer.write(LogStream::Stdout, b"whole\n").unwrap();
    drop(writer);
    let future = "2199-01-01T00:00:00.000000000Z stdout F from the future\n";
    let mut content = std::fs::read(&path).unwrap();
    content.extend_from_slice(future.as_bytes());
    content.extend_from_slice(b"2026-07-25T17:20:00.5Z stdout F cut he");
    std::fs::write(&path, &content).unwrap();
    let mut writer = LogWriter::open(&path, LogFormat::Cri, UNLIMITED).unwrap();
    writer.write(LogStream::Stdout, b"after\n").unwrap();
    let records = read(&path, LogFormat::Cri, LogSelection::default());
    assert_eq!(text(&records), "whole\nfrom the future\nafter\n");
    assert!(records.windows(2).all(|pair| pair[0].time <= pair[1].time));
}

#[test]
fn a_follower_sees_everything_across_rotations() {
    let limits = LogLimits { max_size: Some(4000), max_files: 1000 };
    let (_place, path, mut writer) = log(limits, LogFormat::Json);
    let mut follower = LogFollower::open(&path, LogFormat::Json, LogSelection::default()).unwrap();
    assert_eq!(follower.next_record().unwrap(), None);
    let count = 2000;
    let thread = std::thread::spawn(move || {
        for number in 0..count {
            writer.write(LogStream::Stdout, format!("{number}\n").as_bytes()).unwrap();
        }
    });
    let mut found = String::new();
    while found.lines().count() < count {
        match follower.next_record().unwrap() {
            Some(record) => found.push_str(std::str::from_utf8(&record.text).unwrap()),
            None => {
                use crate::sys::{Wait, wait_any};
                use std::os::fd::AsFd;
                let patience = Some(std::time::Duration::from_secs(60));
                let [more] = wait_any([Wait::Read(follower.as_fd())], patience).unwrap();
                assert!(more, "nothing comes after {found}");
            }
        }
    }
    thread.join().unwrap();
    assert_eq!(found, (0..count).map(|number| format!("{number}\n")).collect::<String>());
}

#[test]
fn times_are_read_in_dockers_forms() {
    let read = |text: &str| Moment::from_text(text).map(|moment| moment.to_string());
    for (text, moment) in [
        ("1785000000", "2026-07-25T17:20:00.000000000Z"),
        ("1785000000.25", "2026-07-25T17:20:00.250000000Z"),
        ("2026-07-25T19:20:00+02:00", "2026-07-25T17:20:00.000000000Z"),
        ("2026-07-25T17:20:00", "2026-07-25T17:20:00.000000000Z"),
        ("2026-07-25", "2026-07-25T00:00:00.000000000Z"),
    ] {
        assert_eq!(read(text).as_deref(), Some(moment), "{text}");
    }
    for (text, seconds) in [("10m", 600), ("1h30m", 5400), ("42s", 42)] {
        let ago = Moment::from_text(text).unwrap();
        let span = std::time::Duration::from_nanos(Moment::now().0 - ago.0).as_secs();
        assert!((seconds..seconds + 5).contains(&span), "{text}: {span}");
    }
    assert_eq!(read("yesterday"), None);
    assert_eq!(read("-5"), None);
}
