//! Where the store is.

use super::StoreError;
use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

/// Where the store is: a SQLite file or a PostgreSQL database. `Display` leaves the password out.
#[derive(Clone, PartialEq, Eq)]
pub enum StoreUrl {
    /// `sqlite:///absolute/path` or `sqlite://relative/path`.
    Sqlite(PathBuf),
    /// `postgres://...` or `postgresql://...`, as PostgreSQL clients read it.
    Postgres(String),
}

impl FromStr for StoreUrl {
    type Err = StoreError;

    fn from_str(text: &str) -> Result<Self, StoreError> {
        if let Some(path) = text.strip_prefix("sqlite://").filter(|path| !path.is_empty()) {
            Ok(Self::Sqlite(PathBuf::from(path)))
        } else if text.starts_with("postgres://") || text.starts_with("postgresql://") {
            Ok(Self::Postgres(text.to_owned()))
        } else {
            Err(StoreError::Url("a store address must start with sqlite:// or postgres://".to_owned()))
        }
    }
}

impl fmt::Display for StoreUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sqlite(path) => write!(f, "sqlite://{}", path.display()),
            Self::Postgres(url) => f.write_str(&without_password(url)),
        }
    }
}

impl fmt::Debug for StoreUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

fn without_password(url: &str) -> String {
    let (before_query, query) = url.split_once('?').map_or((url, ""), |(url, query)| (url, query));
    let shown = match (before_query.split_once("://"), before_query.rsplit_once('@')) {
        (Some((scheme, _)), Some((credentials, host))) => {
            let user = credentials.split("://").nth(1).unwrap_or_default();
            match user.split_once(':') {
                Some((user, _)) => format!("{scheme}://{user}:***@{host}"),
                None => before_query.to_owned(),
            }
        }
        _ => before_query.to_owned(),
    };
    // Connection parameters may hold a password, too.
    if query.is_empty() { shown } else { format!("{shown}?***") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shows_no_password() {
        for (url, shown) in [
            ("postgres://u:secret@h:5432/db", "postgres://u:***@h:5432/db"),
            ("postgres://u:se@cret@h/db", "postgres://u:***@h/db"),
            ("postgres://u@h/db?password=secret", "postgres://u@h/db?***"),
            ("sqlite:///tmp/x.db", "sqlite:///tmp/x.db"),
        ] {
            assert_eq!(url.parse::<StoreUrl>().unwrap().to_string(), shown);
        }
    }

    #[test]
    fn refuses_another_scheme() {
        assert!("mysql://h/db".parse::<StoreUrl>().is_err());
    }
}
