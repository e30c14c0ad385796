//! The client against servers: scripted ones for what servers do wrong, and a real registry for
//! how many requests things take.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod credentials;
pub(crate) mod distribution;
mod downloads;
mod live;
mod places;
mod scripted;
mod uploads;

use std::sync::Arc;
use std::time::Duration;

use super::{Access, Client, ClientOptions, Repository, Timeouts};
use crate::config::{Credential, Secret};
use crate::spec::Reference;

/// Options for tests: nobody waits long.
fn options() -> ClientOptions {
    ClientOptions {
        retry_times: 2,
        retry_pause: Duration::from_millis(1),
        retry_pause_max: Duration::from_millis(5),
        timeouts: Timeouts { stall: Duration::from_millis(300), ..Timeouts::default() },
        ..ClientOptions::default()
    }
}

/// Options of somebody who has a password.
fn with_password() -> ClientOptions {
    let credential = Credential::Basic { user: "user".to_owned(), password: Secret::new("pass") };
    ClientOptions { credentials: Arc::new(move |_, _| Ok(credential.clone())), ..options() }
}

/// `user:pass` as a header shows it.
const PASSWORD: &str = "Basic dXNlcjpwYXNz";

fn repository(options: ClientOptions, host: &str, access: Access) -> Repository {
    let name = Reference::parse(&format!("{host}/a/b")).unwrap();
    Client::new(options).repository(&name, access).unwrap()
}
