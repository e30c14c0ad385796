//! Numbers as Go writes them, in templates and when it prints them.

use super::lex::is_word;

/// A number in a template.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Number {
    Int(i64),
    Float(f64),
}

/// The number at the start of `text`, and its length.
pub(super) fn number(text: &str) -> Result<(Number, usize), String> {
    let length = length(text);
    let word = &text[..length];
    let bad = || format!("bad number syntax: {word:?}");
    let (negative, digits) = match word.as_bytes().first() {
        Some(b'-') => (true, &word[1..]),
        Some(b'+') => (false, &word[1..]),
        _ => (false, word),
    };
    let plain = digits.replace('_', "");
    let lower = plain.to_ascii_lowercase();
    let integer = match lower.get(..2) {
        Some("0x") => i128::from_str_radix(&lower[2..], 16).ok(),
        Some("0o") => i128::from_str_radix(&lower[2..], 8).ok(),
        Some("0b") => i128::from_str_radix(&lower[2..], 2).ok(),
        _ if lower.len() > 1 && lower.starts_with('0') && !lower.contains(['.', 'e']) => {
            i128::from_str_radix(&lower, 8).ok()
        }
        _ => lower.parse::<i128>().ok().filter(|_| lower.starts_with(|c: char| c.is_ascii_digit())),
    };
    if let Some(integer) = integer {
        let integer = if negative { -integer } else { integer };
        let fits = i64::try_from(integer).map_err(|_| format!("{word} overflows int"))?;
        return Ok((Number::Int(fits), length));
    }
    let shape = lower.bytes().all(|b| b.is_ascii_digit() || matches!(b, b'.' | b'e' | b'+' | b'-'));
    let float: f64 = Some(&lower).filter(|_| shape).and_then(|s| s.parse().ok()).ok_or_else(bad)?;
    Ok((Number::Float(if negative { -float } else { float }), length))
}

fn length(text: &str) -> usize {
    let mut last = ' ';
    let end = text.char_indices().find(|(at, c)| {
        let sign = matches!(c, '+' | '-') && (*at == 0 || matches!(last, 'e' | 'E' | 'p' | 'P'));
        let hex = text
            .trim_start_matches(['+', '-'])
            .get(..2)
            .is_some_and(|s| s.eq_ignore_ascii_case("0x"));
        let part = is_word(*c) || *c == '.' || (sign && (!hex || *at == 0));
        last = *c;
        !part
    });
    end.map_or(text.len(), |(at, _)| at)
}

/// A number as `%v` prints it: the shortest text that means it.
pub(super) fn shortest(value: f64) -> String {
    general(value, None, false)
}

/// `%g` (`upper`: `%G`), with a precision or as short as can be.
pub(super) fn general(value: f64, precision: Option<usize>, upper: bool) -> String {
    if !value.is_finite() {
        return infinite(value);
    }
    let digits = precision.map(|p| p.max(1));
    let scientific = match digits {
        Some(p) => format!("{value:.*e}", p - 1),
        None => format!("{value:e}"),
    };
    let (mantissa, exponent) = split_exponent(&scientific);
    let limit = digits.map_or(6, |p| i32::try_from(p).unwrap_or(i32::MAX));
    let trimmed = |text: &str| match text.contains('.') {
        true => text.trim_end_matches('0').trim_end_matches('.').to_owned(),
        false => text.to_owned(),
    };
    if value != 0.0 && (exponent < -4 || exponent >= limit) {
        return with_exponent(&trimmed(mantissa), exponent, upper);
    }
    match digits {
        Some(p) => {
            let decimals = i64::try_from(p).unwrap_or(i64::MAX) - 1 - i64::from(exponent);
            trimmed(&format!("{value:.*}", usize::try_from(decimals).unwrap_or(0)))
        }
        None => format!("{value}"),
    }
}

/// `%e` with so many decimals (`upper`: `%E`).
pub(super) fn scientific(value: f64, precision: usize, upper: bool) -> String {
    if !value.is_finite() {
        return infinite(value);
    }
    let text = format!("{value:.precision$e}");
    let (mantissa, exponent) = split_exponent(&text);
    with_exponent(mantissa, exponent, upper)
}

pub(super) fn infinite(value: f64) -> String {
    match value {
        _ if value.is_nan() => "NaN".to_owned(),
        _ if value > 0.0 => "+Inf".to_owned(),
        _ => "-Inf".to_owned(),
    }
}

fn split_exponent(text: &str) -> (&str, i32) {
    let (mantissa, exponent) = text.split_once('e').unwrap_or((text, "0"));
    (mantissa, exponent.parse().unwrap_or(0))
}

/// Go's exponents have a sign and two digits at least.
fn with_exponent(mantissa: &str, exponent: i32, upper: bool) -> String {
    let letter = if upper { 'E' } else { 'e' };
    let sign = if exponent < 0 { '-' } else { '+' };
    format!("{mantissa}{letter}{sign}{:02}", exponent.unsigned_abs())
}
