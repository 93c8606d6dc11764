//! Who operates.

/// `name@host`: `RUNSHEET_OPERATOR` where it is set (a bot in a chat passes on who asked), else the user of this process.
pub fn operator() -> String {
    let host = host();
    let name =
        ["RUNSHEET_OPERATOR", "USER", "LOGNAME"].iter().find_map(|name| std::env::var(name).ok().filter(|value| !value.trim().is_empty()));
    match name {
        Some(name) if name.contains('@') => name,
        Some(name) => format!("{name}@{host}"),
        None => format!("uid{}@{host}", rustix::process::getuid().as_raw()),
    }
}

/// This machine's name.
pub(super) fn host() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}
