//! `printf`, with Go's verbs, flags, widths and precisions.

use super::MAX_OUTPUT;
use super::numbers::{general, infinite, scientific, shortest};
use super::print::print_to;
use super::quote::{quoted, quoted_character};
use super::schema::Schema;
use super::value::{Value, sorted};

/// Largest width and precision.
const MAX_NUMBER: usize = 1_000_000;
/// Most decimals of a floating-point number; it has no more.
const MAX_DECIMALS: usize = 1100;

/// What stands between `%` and the verb.
#[derive(Clone, Copy, Default)]
struct Flags {
    plus: bool,
    minus: bool,
    sharp: bool,
    space: bool,
    zero: bool,
    width: Option<usize>,
    precision: Option<usize>,
}

/// The first value is the format, the others go into it.
pub(super) fn printf(values: &[Value<'_>], schema: &Schema) -> Result<String, String> {
    let Some((Value::Text(format), values)) = values.split_first() else {
        let found = values.first().map_or("<nil>", Value::type_name);
        return Err(format!("wrong type for value; expected string; got {found}"));
    };
    let mut printer = Printer { values, next: 0, reordered: false, schema, out: String::new() };
    printer.run(format)?;
    Ok(printer.out)
}

struct Printer<'v, 'a> {
    values: &'v [Value<'a>],
    next: usize,
    /// Whether `%[n]` was used: then nothing is left over.
    reordered: bool,
    schema: &'v Schema,
    out: String,
}

impl<'v, 'a> Printer<'v, 'a> {
    fn run(&mut self, format: &str) -> Result<(), String> {
        let mut rest = format;
        while let Some((before, after)) = rest.split_once('%') {
            self.out.push_str(before);
            rest = self.directive(after);
            if self.out.len() > MAX_OUTPUT {
                return Err("the result is too long".to_owned());
            }
        }
        self.out.push_str(rest);
        let left = self.values.get(self.next..).filter(|left| !left.is_empty());
        if let Some(left) = left.filter(|_| !self.reordered) {
            let shown: Vec<String> = left.iter().map(|value| self.with_type(value)).collect();
            self.out.push_str(&format!("%!(EXTRA {})", shown.join(", ")));
        }
        Ok(())
    }

    /// Writes one directive; returns what follows it.
    fn directive<'f>(&mut self, text: &'f str) -> &'f str {
        let mut flags = Flags::default();
        let mut rest = text;
        while let Some(c) = rest.chars().next() {
            match c {
                '+' => flags.plus = true,
                '-' => flags.minus = true,
                '#' => flags.sharp = true,
                ' ' => flags.space = true,
                '0' => flags.zero = true,
                _ => break,
            }
            rest = &rest[1..];
        }
        let mut good = self.argument_number(&mut rest);
        match self.number(&mut rest) {
            Number::Is(width) => flags.width = Some(width),
            Number::Negative(width) => (flags.width, flags.minus) = (Some(width), true),
            Number::Bad => self.out.push_str("%!(BADWIDTH)"),
            Number::None => {}
        }
        if let Some(after) = rest.strip_prefix('.') {
            rest = after;
            good &= self.argument_number(&mut rest);
            match self.number(&mut rest) {
                Number::Is(precision) => flags.precision = Some(precision),
                Number::Negative(_) | Number::Bad => self.out.push_str("%!(BADPREC)"),
                Number::None => flags.precision = Some(0),
            }
        }
        good &= self.argument_number(&mut rest);
        flags.zero &= !flags.minus;
        let Some(verb) = rest.chars().next() else {
            self.out.push_str("%!(NOVERB)");
            return rest;
        };
        let rest = &rest[verb.len_utf8()..];
        if verb == '%' {
            self.out.push('%');
        } else if !good {
            self.out.push_str(&format!("%!{verb}(BADINDEX)"));
        } else if let Some(value) = self.values.get(self.next) {
            self.next += 1;
            let text = self.verb(verb, flags, value);
            self.out.push_str(&text);
        } else {
            self.out.push_str(&format!("%!{verb}(MISSING)"));
        }
        rest
    }

    /// `[n]`: the value that comes next; whether it is there.
    fn argument_number(&mut self, rest: &mut &str) -> bool {
        let Some(inside) = rest.strip_prefix('[') else { return true };
        self.reordered = true;
        let Some((number, after)) = inside.split_once(']') else {
            *rest = inside;
            return false;
        };
        *rest = after;
        let number = number.parse::<usize>().ok().filter(|n| (1..=self.values.len()).contains(n));
        match number {
            Some(number) => {
                self.next = number - 1;
                true
            }
            None => false,
        }
    }

    /// A width or precision: digits, or `*` for the next value.
    fn number(&mut self, rest: &mut &str) -> Number {
        if let Some(after) = rest.strip_prefix('*') {
            *rest = after;
            let value = self.values.get(self.next);
            self.next += 1;
            let Some(Value::Int(number)) = value else { return Number::Bad };
            let size = usize::try_from(number.unsigned_abs()).unwrap_or(usize::MAX);
            return match number {
                _ if size > MAX_NUMBER => Number::Bad,
                ..0 => Number::Negative(size),
                _ => Number::Is(size),
            };
        }
        let end = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
        let (digits, after) = rest.split_at(end);
        *rest = after;
        match digits.parse::<usize>() {
            Ok(number) if number <= MAX_NUMBER => Number::Is(number),
            Ok(_) => Number::Bad,
            Err(_) if digits.is_empty() => Number::None,
            Err(_) => Number::Bad,
        }
    }

    fn verb(&self, verb: char, flags: Flags, value: &Value<'a>) -> String {
        match (verb, value) {
            ('T', _) => pad(value.type_name(), flags),
            ('v', Value::Missing | Value::Null) => pad("<nil>", flags),
            (_, Value::Missing | Value::Null) => format!("%!{verb}(<nil>)"),
            (_, Value::Struct(..) | Value::Map(..) | Value::Array(..) | Value::List(_)) => {
                self.each(verb, flags, value)
            }
            ('t' | 'v', Value::Bool(truth)) => pad(if *truth { "true" } else { "false" }, flags),
            (_, Value::Int(number)) => self.integer(verb, flags, i128::from(*number), value),
            (_, Value::Uint(number)) => self.integer(verb, flags, i128::from(*number), value),
            (_, Value::Float(number)) => self.float(verb, flags, *number, value),
            (_, Value::Text(text)) => self.text(verb, flags, text, value),
            _ => self.bad(verb, value),
        }
    }

    /// A verb that the value does not have.
    fn bad(&self, verb: char, value: &Value<'a>) -> String {
        format!("%!{verb}({})", self.with_type(value))
    }

    fn with_type(&self, value: &Value<'a>) -> String {
        let mut text = String::new();
        if !matches!(value, Value::Missing | Value::Null) {
            text = format!("{}=", value.type_name());
        }
        print_to(&mut text, value, self.schema);
        text
    }

    /// The verb for each part of a value.
    fn each(&self, verb: char, flags: Flags, value: &Value<'a>) -> String {
        let part = |value: &Value<'a>| self.verb(verb, flags, value);
        match value {
            Value::Struct(object, _) => {
                let parts = object.iter().map(|(name, json)| {
                    let shown = part(&Value::of(json, name, self.schema));
                    if flags.plus { format!("{name}:{shown}") } else { shown }
                });
                format!("{{{}}}", parts.collect::<Vec<_>>().join(" "))
            }
            Value::Map(object) => {
                let members = object.map(sorted).unwrap_or_default().into_iter();
                let parts = members.map(|(key, json)| {
                    let key = part(&Value::Text(key.as_str().into()));
                    format!("{key}:{}", part(&Value::of(json, "", self.schema)))
                });
                format!("map[{}]", parts.collect::<Vec<_>>().join(" "))
            }
            _ => {
                let elements = value.elements(self.schema).unwrap_or_default();
                let parts: Vec<String> = elements.iter().map(part).collect();
                format!("[{}]", parts.join(" "))
            }
        }
    }

    fn text(&self, verb: char, flags: Flags, text: &str, value: &Value<'a>) -> String {
        let cut: String = match flags.precision {
            Some(most) => text.chars().take(most).collect(),
            None => text.to_owned(),
        };
        match verb {
            'v' if flags.sharp => pad(&quoted(text, false), flags),
            'v' | 's' => pad(&cut, flags),
            'q' => pad(&quoted(&cut, flags.plus), flags),
            'x' | 'X' => {
                let most = flags.precision.unwrap_or(text.len()).min(text.len());
                let bytes = text.as_bytes().get(..most).unwrap_or_default();
                pad(&hex(bytes, verb == 'X', flags), flags)
            }
            _ => self.bad(verb, value),
        }
    }

    fn integer(&self, verb: char, flags: Flags, number: i128, value: &Value<'a>) -> String {
        let size = number.unsigned_abs();
        let character =
            || u32::try_from(number).ok().and_then(char::from_u32).unwrap_or('\u{fffd}');
        let (prefix, digits) = match verb {
            'd' | 'v' => ("", size.to_string()),
            'b' => (if flags.sharp { "0b" } else { "" }, format!("{size:b}")),
            'o' => (if flags.sharp { "0" } else { "" }, format!("{size:o}")),
            'O' => ("0o", format!("{size:o}")),
            'x' => (if flags.sharp { "0x" } else { "" }, format!("{size:x}")),
            'X' => (if flags.sharp { "0X" } else { "" }, format!("{size:X}")),
            'c' => return pad(&character().to_string(), flags),
            'q' => return pad(&quoted_character(character(), flags.plus), flags),
            'U' => return pad(&format!("U+{size:04X}"), flags),
            _ => return self.bad(verb, value),
        };
        let digits = match flags.precision {
            Some(0) if number == 0 => String::new(),
            Some(least) => zeros(&digits, least),
            None => digits,
        };
        let plain = Flags { zero: flags.zero && flags.precision.is_none(), ..flags };
        pad_number(sign(number < 0, flags), prefix, &digits, plain)
    }

    fn float(&self, verb: char, flags: Flags, number: f64, value: &Value<'a>) -> String {
        let size = number.abs();
        let decimals = flags.precision.unwrap_or(6).min(MAX_DECIMALS);
        let precision = flags.precision.map(|precision| precision.min(MAX_DECIMALS));
        let digits = match verb {
            'v' if flags.precision.is_none() => shortest(size),
            'e' | 'E' => scientific(size, decimals, verb == 'E'),
            'f' | 'F' if size.is_finite() => format!("{size:.decimals$}"),
            'f' | 'F' => infinite(size),
            'v' | 'g' | 'G' => general(size, precision, verb == 'G'),
            _ => return self.bad(verb, value),
        };
        let digits = digits.trim_start_matches('+');
        let finite = Flags { zero: flags.zero && size.is_finite(), ..flags };
        let plus = flags.plus || number == f64::INFINITY;
        pad_number(sign(number.is_sign_negative(), Flags { plus, ..flags }), "", digits, finite)
    }
}

/// What stands where a number may.
enum Number {
    Is(usize),
    Negative(usize),
    Bad,
    None,
}

fn sign(negative: bool, flags: Flags) -> &'static str {
    match (negative, flags.plus, flags.space) {
        (true, ..) => "-",
        (_, true, _) => "+",
        (_, _, true) => " ",
        _ => "",
    }
}

/// Rust's own padding has narrower limits than Go's.
fn zeros(digits: &str, length: usize) -> String {
    "0".repeat(length.saturating_sub(digits.chars().count())) + digits
}

fn pad_number(sign: &str, prefix: &str, digits: &str, flags: Flags) -> String {
    let known = sign.len() + prefix.len();
    match flags.width {
        Some(width) if flags.zero => {
            format!("{sign}{prefix}{}", zeros(digits, width.saturating_sub(known)))
        }
        _ => pad(&format!("{sign}{prefix}{digits}"), flags),
    }
}

fn pad(text: &str, flags: Flags) -> String {
    let width = flags.width.unwrap_or(0);
    let missing = width.saturating_sub(text.chars().count());
    match (flags.minus, flags.zero) {
        (true, _) => text.to_owned() + &" ".repeat(missing),
        (false, true) => zeros(text, width),
        (false, false) => " ".repeat(missing) + text,
    }
}

fn hex(bytes: &[u8], upper: bool, flags: Flags) -> String {
    let digits = |byte: &u8| match upper {
        true => format!("{byte:02X}"),
        false => format!("{byte:02x}"),
    };
    let prefix = match (flags.sharp, upper) {
        (true, true) => "0X",
        (true, false) => "0x",
        _ => "",
    };
    let words: Vec<String> = bytes.iter().map(digits).collect();
    match flags.space {
        true => words.iter().map(|word| format!("{prefix}{word}")).collect::<Vec<_>>().join(" "),
        false if words.is_empty() => String::new(),
        false => format!("{prefix}{}", words.concat()),
    }
}
