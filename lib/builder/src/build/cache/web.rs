//! What files of the web were when they were last fetched.

use serde::{Deserialize, Serialize};

use super::{Cache, Key, publish, read};
use crate::registry::{FetchedFile, Validators};
use crate::spec::Digest;

/// A version of a file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(in crate::build) struct WebRecord {
    /// What it was.
    pub(in crate::build) digest: Digest,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    etag: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    last_modified: Option<String>,
}

impl WebRecord {
    /// What came just now.
    pub(in crate::build) fn of(found: &FetchedFile) -> WebRecord {
        let Validators { etag, last_modified } = found.validators.clone();
        WebRecord { digest: found.digest.clone(), etag, last_modified }
    }

    /// What the server calls this version.
    pub(in crate::build) fn validators(&self) -> Validators {
        Validators { etag: self.etag.clone(), last_modified: self.last_modified.clone() }
    }
}

impl Cache {
    /// What the file of a URL was, if its server can tell whether it still is.
    pub(in crate::build) fn web(&self, url: &str) -> Option<WebRecord> {
        let record: WebRecord = serde_json::from_slice(&read(&self.web_path(url))?).ok()?;
        (!record.validators().is_empty()).then_some(record)
    }

    /// Notes what the file of a URL was.
    pub(in crate::build) fn note_web(&self, url: &str, record: &WebRecord) {
        if let Ok(bytes) = serde_json::to_vec(record) {
            // Without it, the file is fetched again.
            let path = self.web_path(url);
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            let _ = publish(&self.dir.join("web"), name, &bytes);
        }
    }

    fn web_path(&self, url: &str) -> std::path::PathBuf {
        let mut key = Key::new("web");
        key.text(url);
        self.dir.join("web").join(key.finish().hex())
    }
}
