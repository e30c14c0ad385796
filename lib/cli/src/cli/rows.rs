//! Lists in the form that `--format` asks for, as Docker's programs do it.

use serde_json::Value;

use super::size::table;
use crate::error::Result;
use crate::template::{Schema, Template};

/// The rows of a list as `format` wants them: `json`, a template for each line, or `table TEMPLATE`
/// with titles above columns that end at tabs.
///
/// `titles` holds what stands above each field, in place of a row's values.
///
/// # Errors
/// What the template says.
pub fn formatted_rows(
    format: &str,
    rows: &[Value],
    titles: &Value,
    schema: &Schema,
) -> Result<String> {
    if format == "json" {
        return Ok(rows.iter().map(|row| format!("{row}\n")).collect());
    }
    let (template, is_table) = match format.strip_prefix("table ") {
        Some(template) => (template.trim_start(), true),
        None => (format, false),
    };
    let template = Template::parse_row(template)?;
    let filled = rows.iter().map(|row| template.fill(row, schema)).collect::<Result<Vec<_>>>()?;
    if !is_table {
        return Ok(filled.iter().map(|line| format!("{line}\n")).collect());
    }
    let cells = |line: &String| line.split('\t').map(str::to_owned).collect::<Vec<_>>();
    let head = cells(&template.fill_titles(titles)?);
    let head: Vec<&str> = head.iter().map(String::as_str).collect();
    Ok(table(&head, &filled.iter().map(cells).collect::<Vec<_>>()))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn lists_in_every_form() {
        let rows = [json!({"ID": "1", "Names": "one"}), json!({"ID": "22", "Names": "two"})];
        let titles = json!({"ID": "CONTAINER ID", "Names": "NAMES"});
        let made = |format: &str| formatted_rows(format, &rows, &titles, &Schema::default());
        for (format, text) in [
            ("{{.ID}} {{.Names}}", "1 one\n22 two\n"),
            ("{{.ID}}\\t{{upper .Names}}", "1\tONE\n22\tTWO\n"),
            ("json", "{\"ID\":\"1\",\"Names\":\"one\"}\n{\"ID\":\"22\",\"Names\":\"two\"}\n"),
            (
                "table {{.ID}}\\t{{upper .Names}}",
                "CONTAINER ID  NAMES\n1             ONE\n22            TWO\n",
            ),
            ("x", "x\nx\n"),
        ] {
            assert_eq!(made(format).unwrap(), text, "{format}");
        }
        assert!(made("{{.Nope}}").is_err());
        assert!(made("table {{.Nope}}").is_err());
    }
}
