//! `creel-copy login` and `logout`.

use std::io::{BufRead, IsTerminal, Read, Write};
use std::path::PathBuf;

use creel::config::{AuthFile, AuthFormat, AuthKey, AuthStore, Credential, Logout, Secret};
use creel::error::{Error, ErrorKind, IoContext, Result};
use creel::transport::SideOptions;

use crate::args::{LoginArgs, LogoutArgs, WorkArgs};
use crate::context::Context;
use crate::render;

/// Longest password that is read.
const MAX_PASSWORD: u64 = 64 << 10;

pub async fn login(context: &Context, args: LoginArgs) -> Result<u8> {
    let key = AuthKey::parse(&args.registry)?;
    let auth = store(context, args.authfile.clone(), args.compat_auth_file.clone());
    if args.get_login {
        return match auth.find_key(&key)?.credential.user() {
            Some(user) => render::print(&format!("{user}\n")).map(|()| 0),
            None => Err(Error::not_found(format!("not logged in to {}", args.registry))),
        };
    }
    let credential = ask(&args)?;
    let work = WorkArgs { jobs: 2, retry_times: 3, ..WorkArgs::default() };
    let places = context.places(&work)?;
    let side = SideOptions {
        credential: Some(credential.clone()),
        tls_verify: args.tls_verify,
        cert_dir: args.cert_dir.clone(),
        token_servers: args.token_server.clone(),
        ..SideOptions::default()
    };
    let client = places.client(&side)?;
    let checked = client.check_login(key.registry()).await;
    checked.doing(|| format!("logging in to {}", args.registry))?;
    auth.login(&key, &credential)?;
    context.say("Login Succeeded!");
    Ok(0)
}

pub fn logout(context: &Context, args: &LogoutArgs) -> Result<u8> {
    let auth = store(context, args.authfile.clone(), args.compat_auth_file.clone());
    let Some(registry) = &args.registry else {
        auth.logout_all()?;
        context.say("Removed login credentials for all registries");
        return Ok(0);
    };
    match auth.logout(&AuthKey::parse(registry)?)? {
        Logout::Removed(_) => {
            context.say(&format!("Removed login credentials for {registry}"));
            Ok(0)
        }
        Logout::NotLoggedIn { elsewhere: None } => {
            Err(Error::not_found(format!("not logged in to {registry}")))
        }
        Logout::NotLoggedIn { elsewhere: Some(place) } => Err(Error::not_found(format!(
            "not logged in to {registry} with this file, but {place} has credentials for it"
        ))),
    }
}

/// The credentials as the flags say where they are.
fn store(context: &Context, authfile: Option<PathBuf>, compat: Option<PathBuf>) -> AuthStore {
    let mut paths = context.paths.clone();
    let explicit = |path, format| Some(AuthFile { path, format });
    if let Some(path) = authfile {
        paths.auth_file = explicit(path, AuthFormat::Containers);
    } else if let Some(path) = compat {
        paths.auth_file = explicit(path, AuthFormat::Docker);
    }
    AuthStore::new(&paths)
}

/// User and password from flags, standard input, or the terminal.
fn ask(args: &LoginArgs) -> Result<Credential> {
    let user = match &args.username {
        Some(user) => user.clone(),
        None => prompt("Username: ", false)?,
    };
    let password = match &args.password {
        Some(password) => password.clone(),
        None if args.password_stdin => {
            let mut text = String::new();
            let read = std::io::stdin().lock().take(MAX_PASSWORD).read_to_string(&mut text);
            read.doing(|| "reading the password")?;
            text.trim_end_matches(['\r', '\n']).to_owned()
        }
        None => prompt("Password: ", true)?,
    };
    if user.is_empty() || password.is_empty() {
        return Err(Error::usage("user name and password must not be empty"));
    }
    Ok(Credential::from_login(user, Secret::new(password)))
}

fn prompt(question: &str, hidden: bool) -> Result<String> {
    let stdin = std::io::stdin();
    if !stdin.is_terminal() {
        return Err(Error::new(
            ErrorKind::Usage,
            "there is no terminal to ask on: give --username and --password-stdin",
        ));
    }
    std::io::stderr().write_all(question.as_bytes()).doing(|| "asking")?;
    let mut line = String::new();
    let read = {
        let _hidden = hidden.then(creel::sys::HiddenInput::start).transpose()?;
        stdin.lock().take(MAX_PASSWORD).read_line(&mut line)
    };
    read.doing(|| "reading the answer")?;
    if hidden {
        creel::cli::say("");
    }
    Ok(line.trim_end_matches(['\r', '\n']).to_owned())
}
