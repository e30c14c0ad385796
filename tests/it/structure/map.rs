//! The map in `lib/README.md`: which folder of the library may use which.

use std::collections::{BTreeMap, BTreeSet};

/// What may be used by every folder.
const FOR_ALL: [&str; 2] = ["error", "progress"];

/// The folders of the library and what each may use.
pub struct Map(BTreeMap<String, BTreeSet<String>>);

impl Map {
    /// Reads the table that begins with `| folder |`.
    pub fn parse(readme: &str) -> Map {
        let rows = readme.lines().skip_while(|line| !line.starts_with("| folder |")).skip(2);
        let mut above: Vec<String> = Vec::new();
        let mut map = BTreeMap::new();
        for row in rows.take_while(|line| line.starts_with('|')) {
            let cells: Vec<_> = row.trim_matches('|').split('|').map(str::trim).collect();
            let [folder, _, may_use] = cells[..] else { panic!("not three cells: {row}") };
            let folder = folder.trim_matches('`').to_string();
            map.insert(folder.clone(), allowed(may_use, &above));
            above.push(folder);
        }
        assert!(!map.is_empty(), "no table of folders in lib/README.md");
        Map(map)
    }

    pub fn folders(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    /// Whether one folder may use another; `None` if the table does not know the first.
    pub fn allows(&self, folder: &str, used: &str) -> Option<bool> {
        match folder {
            "error" => return Some(used == "error"),
            "progress" => return Some(FOR_ALL.contains(&used) || used == "spec"),
            _ => {}
        }
        let allowed = self.0.get(folder)?;
        Some(used == folder || FOR_ALL.contains(&used) || allowed.contains(used))
    }
}

/// The folders that a cell names: `–`, `spec, sys`, `all above`, or ``all above but `run` ``.
fn allowed(cell: &str, above: &[String]) -> BTreeSet<String> {
    let listed = |names: &str| -> BTreeSet<String> {
        let names = names.split(',').map(|name| name.trim().trim_matches('`'));
        names.filter(|name| !name.is_empty()).map(str::to_string).collect()
    };
    let found = match cell.strip_prefix("all above") {
        Some(rest) => {
            let left_out = listed(rest.trim().trim_start_matches("but "));
            assert!(left_out.iter().all(|name| above.contains(name)), "unknown folder in {cell:?}");
            above.iter().filter(|name| !left_out.contains(*name)).cloned().collect()
        }
        None if cell == "–" => BTreeSet::new(),
        None => listed(cell),
    };
    for name in &found {
        assert!(above.contains(name), "{cell:?} names {name}, which is not above it");
    }
    found
}

#[test]
fn the_table_is_read_row_by_row() {
    let map = Map::parse(
        "text\n\n\
         | folder | owns | may use |\n|---|---|---|\n\
         | `a` | things | – |\n| `b` | things | a |\n| `c` | things | all above |\n\
         | `d` | things | all above but `c`, `b` |\n\n| `e` | another table | a |\n",
    );
    assert_eq!(map.folders().collect::<Vec<_>>(), ["a", "b", "c", "d"]);
    let uses = |folder| ["a", "b", "c", "d"].map(|used| map.allows(folder, used) == Some(true));
    assert_eq!(uses("a"), [true, false, false, false]);
    assert_eq!(uses("b"), [true, true, false, false]);
    assert_eq!(uses("c"), [true, true, true, false]);
    assert_eq!(uses("d"), [true, false, false, true]);
    assert_eq!(map.allows("a", "error"), Some(true));
    assert_eq!(map.allows("utils", "a"), None);
}
