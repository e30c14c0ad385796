//! Lists of packages.

use creel::cli;
use creel::packages::Findings;

use super::printable;

pub fn packages(findings: &Findings) -> String {
    let mut out = String::new();
    if let Some(release) = &findings.release {
        out.push_str(&format!("{}\n\n", printable(&release.name)));
    }
    if findings.packages.is_empty() {
        return out + "no packages were found\n";
    }
    let rows: Vec<Vec<String>> = findings
        .packages
        .iter()
        .map(|package| {
            let license = package.license.clone().unwrap_or_default();
            vec![
                package.ecosystem.to_string(),
                printable(&package.name),
                printable(&package.version),
                printable(&package.architecture.clone().unwrap_or_default()),
                super::shortened_to(&license, 30),
                printable(&package.found_in),
            ]
        })
        .collect();
    out + &cli::table(&["TYPE", "NAME", "VERSION", "ARCH", "LICENCE", "FOUND IN"], &rows)
}
