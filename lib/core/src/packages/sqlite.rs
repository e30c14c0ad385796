//! Just enough of SQLite's file format to read the rows of one table.
//!
//! Follows "Database File Format" of sqlite.org: table b-trees, overflow pages, records. A database
//! with a write-ahead log beside it is read as if the log were empty.

use super::held::{At, Metered};

/// Most pages that are visited for one table.
const MAX_PAGES: usize = 200_000;
/// Deepest b-tree.
const MAX_DEPTH: usize = 16;
/// Largest value.
const MAX_VALUE: u64 = 16 << 20;
/// Most columns of a row.
const MAX_COLUMNS: usize = 100;

/// A value of a column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Value<'a> {
    Null,
    Integer(i64),
    Bytes(&'a [u8]),
}

pub(super) struct Database<'a> {
    file: Metered<'a>,
    page: u64,
    usable: u64,
}

impl<'a> Database<'a> {
    /// `None` for what is no database.
    pub(super) fn open(file: &'a dyn At) -> Option<Database<'a>> {
        let head = file.at(0, 100)?;
        head.starts_with(b"SQLite format 3\0").then_some(())?;
        let page = match u16::from_be_bytes([*head.get(16)?, *head.get(17)?]) {
            1 => 65536,
            size if size >= 512 && size.is_power_of_two() => u64::from(size),
            _ => return None,
        };
        let usable = page.checked_sub(u64::from(*head.get(20)?)).filter(|usable| *usable >= 480)?;
        Some(Database { file: Metered::new(file), page, usable })
    }

    /// The rows of a table, until `take` wants no more; `None` if it is not there or broken.
    pub(super) fn rows(&self, table: &str, mut take: impl FnMut(&[Value<'_>])) -> Option<()> {
        let mut root = None;
        // Page 1 holds the schema: type, name, table, root page, text.
        self.walk(1, &mut |row| {
            let text = |at: usize| match row.get(at) {
                Some(Value::Bytes(bytes)) => *bytes,
                _ => b"",
            };
            if text(0) == b"table"
                && text(1) == table.as_bytes()
                && let Some(Value::Integer(page)) = row.get(3)
            {
                root = u64::try_from(*page).ok();
            }
        })?;
        self.walk(root?, &mut take)
    }

    fn walk(&self, root: u64, take: &mut impl FnMut(&[Value<'_>])) -> Option<()> {
        let mut pages = vec![(root, 0)];
        let mut visited = 0;
        // A tree has no page twice.
        let most = usize::try_from(self.file.size() / self.page + 1).ok()?.min(MAX_PAGES);
        while let Some((number, depth)) = pages.pop() {
            visited += 1;
            if visited > most || depth > MAX_DEPTH {
                return None;
            }
            let page = self.file.at(number.checked_sub(1)?.checked_mul(self.page)?, self.page)?;
            let head = if number == 1 { 100 } else { 0 };
            let cells = usize::from(be16(&page, head + 3)?);
            let (kind, first) = match page.get(head)? {
                5 => (5, head + 12),
                13 => (13, head + 8),
                _ => return None,
            };
            if kind == 5 {
                pages.push((u64::from(be32(&page, head + 8)?), depth + 1));
            }
            for cell in (0..cells).rev() {
                let at = usize::from(be16(&page, first + 2 * cell)?);
                if kind == 5 {
                    pages.push((u64::from(be32(&page, at)?), depth + 1));
                    (pages.len() <= most).then_some(())?;
                    continue;
                }
                let payload = self.leaf(&page, at)?;
                self.file.spend(payload.len() as u64 + 16)?;
                if let Some(row) = record(&payload) {
                    take(&row);
                }
            }
        }
        Some(())
    }

    /// The whole payload of a leaf's cell.
    fn leaf(&self, page: &[u8], mut at: usize) -> Option<Vec<u8>> {
        let length = varint(page, &mut at)?;
        varint(page, &mut at)?;
        if length > MAX_VALUE || length > self.file.size() {
            return None;
        }
        let most = self.usable - 35;
        let local = if length <= most {
            length
        } else {
            let least = (self.usable - 12) * 32 / 255 - 23;
            let fitting = least + (length - least) % (self.usable - 4);
            if fitting <= most { fitting } else { least }
        };
        let local = usize::try_from(local).ok()?;
        let mut payload = Vec::with_capacity(usize::try_from(length).ok()?);
        payload.extend_from_slice(page.get(at..at.checked_add(local)?)?);
        let mut next = if local as u64 == length { 0 } else { be32(page, at + local)? };
        while (payload.len() as u64) < length {
            let start = u64::from(next).checked_sub(1)?.checked_mul(self.page)?;
            let overflow = self.file.at(start, self.usable)?;
            next = be32(&overflow, 0)?;
            let left = usize::try_from(length).ok()? - payload.len();
            let part = overflow.get(4..)?;
            payload.extend_from_slice(&part[..part.len().min(left)]);
        }
        Some(payload)
    }
}

/// The columns of a record.
fn record(payload: &[u8]) -> Option<Vec<Value<'_>>> {
    let mut at = 0;
    let head = usize::try_from(varint(payload, &mut at)?).ok()?;
    let mut body = head;
    let mut values = Vec::new();
    while at < head {
        (values.len() < MAX_COLUMNS).then_some(())?;
        let kind = varint(payload, &mut at)?;
        let length = match kind {
            0 | 8 | 9 => 0,
            1..=4 => kind,
            5 => 6,
            6 | 7 => 8,
            10 | 11 => return None,
            _ => (kind - 12) / 2,
        };
        let end = body.checked_add(usize::try_from(length).ok()?)?;
        let bytes = payload.get(body..end)?;
        body = end;
        values.push(match kind {
            0 => Value::Null,
            8 => Value::Integer(0),
            9 => Value::Integer(1),
            1..=6 => {
                let negative = bytes.first().is_some_and(|byte| byte & 0x80 != 0);
                let start = if negative { -1 } else { 0 };
                Value::Integer(bytes.iter().fold(start, |sum, byte| sum << 8 | i64::from(*byte)))
            }
            _ => Value::Bytes(bytes),
        });
    }
    Some(values)
}

/// A number of up to nine bytes, the highest bits first.
fn varint(bytes: &[u8], at: &mut usize) -> Option<u64> {
    let mut value = 0_u64;
    for count in 0..9 {
        let byte = *bytes.get(*at)?;
        *at += 1;
        if count == 8 {
            return Some(value << 8 | u64::from(byte));
        }
        value = value << 7 | u64::from(byte & 0x7f);
        if byte & 0x80 == 0 {
            break;
        }
    }
    Some(value)
}

fn be16(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes(bytes.get(at..at.checked_add(2)?)?.try_into().ok()?))
}

fn be32(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_be_bytes(bytes.get(at..at.checked_add(4)?)?.try_into().ok()?))
}
