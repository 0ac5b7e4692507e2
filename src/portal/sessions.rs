//! Sessions: who is signed in, in a database that outlives the process.
//!
//! A session ends twelve hours after it began, or when it has not been used for one, or when its owner ends it. Of its token only
//! the SHA-256 digest is kept, so that whoever reads the database cannot use it. What is lost with a damaged database is that
//! people sign in again: it is set aside, and a new one is made.
//!
//! How often passwords were wrong of late is kept here too, for [`super::throttle`].

use crate::error::{Error, Kind, Result};
use rusqlite::{Connection, ErrorCode, OptionalExtension, params};
use sha2::{Digest as _, Sha256};
use std::fs::{self, DirBuilder, OpenOptions};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// How long a session lasts, and how long without being used. In seconds.
const LONGEST: i64 = 12 * 3600;
const IDLE: i64 = 3600;

/// Being used is written down no more often, in seconds.
const NOTED: i64 = 60;

/// Sessions of one person; the oldest end.
const MOST: u32 = 50;

const LAYOUT: i32 = 1;

const TABLES: &str = "
    CREATE TABLE session (
        digest BLOB PRIMARY KEY,
        address TEXT NOT NULL,
        began INTEGER NOT NULL,
        used INTEGER NOT NULL
    ) WITHOUT ROWID;
    CREATE INDEX session_address ON session (address);
    CREATE TABLE guess (
        account BLOB PRIMARY KEY,
        failures INTEGER NOT NULL,
        last INTEGER NOT NULL
    ) WITHOUT ROWID;
";

/// SHA-256.
pub(super) type Digest = [u8; 32];

/// What the cookie of a session holds: 256 random bits.
#[derive(Clone)]
pub(super) struct Token([u8; 32]);

impl Token {
    fn new() -> Result<Self> {
        let mut bytes = [0; 32];
        getrandom::fill(&mut bytes)
            .map_err(|e| Error::new(Kind::Failed, format!("random numbers: {e}")))?;
        Ok(Self(bytes))
    }

    /// Reads the value of a cookie.
    pub fn parse(text: &str) -> Option<Self> {
        let mut bytes = [0; 32];
        if text.len() != 64 || !text.bytes().all(|b| b.is_ascii_hexdigit()) {
            return None;
        }
        for (at, byte) in bytes.iter_mut().enumerate() {
            *byte = u8::from_str_radix(text.get(2 * at..2 * at + 2)?, 16).ok()?;
        }
        Some(Self(bytes))
    }

    /// The value of the cookie.
    pub fn text(&self) -> String {
        hex(&self.0)
    }

    /// What the database knows it by.
    pub fn digest(&self) -> Digest {
        Sha256::digest(self.0).into()
    }

    /// What the forms of the session carry; the cookie cannot be worked out from it.
    pub fn of_forms(&self) -> String {
        let digest = Sha256::new().chain_update(b"forms").chain_update(self.0);
        hex(&digest.finalize())
    }
}

pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

/// Seconds since 1970.
pub(super) fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| {
        i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
    })
}

/// How often somebody was wrong, and when last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Guesses {
    pub failures: u32,
    pub last: i64,
}

/// The database. Every call may wait for the disk.
#[derive(Clone)]
pub(super) struct Sessions {
    connection: Arc<Mutex<Connection>>,
    path: Arc<PathBuf>,
}

impl Sessions {
    /// Opens `sessions.sqlite` in a directory, and makes what is missing.
    pub fn open(directory: &Path) -> Result<Self> {
        let path = directory.join("sessions.sqlite");
        let unusable = |e: &dyn std::fmt::Display| {
            let cure = "make the directory writable for this user, or set path under [portal]";
            Error::new(Kind::Failed, format!("{}: {e}: {cure}", path.display()))
        };
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(directory)
            .map_err(|e| unusable(&e))?;
        let connection = match connect(&path) {
            Err(Trouble::Damaged(e)) => {
                let aside = path.with_extension("sqlite.damaged");
                tracing::warn!(
                    "{}: {e}: set aside as {}; everybody signs in again",
                    path.display(),
                    aside.display()
                );
                fs::rename(&path, &aside).map_err(|e| unusable(&e))?;
                connect(&path)
            }
            other => other,
        };
        let connection = connection.map_err(|e| match e {
            Trouble::Damaged(e) | Trouble::Other(e) => unusable(&e),
        })?;
        Ok(Self {
            connection: Arc::new(Mutex::new(connection)),
            path: Arc::new(path.clone()),
        })
    }

    fn with<T>(&self, work: impl FnOnce(&Connection) -> rusqlite::Result<T>) -> Result<T> {
        let connection = self.connection.lock();
        work(&connection.unwrap_or_else(PoisonError::into_inner)).map_err(|e| {
            let cure = "see whether its disk is full or bad";
            Error::new(
                Kind::Failed,
                format!("{}: {e}: {cure}", self.path.display()),
            )
        })
    }

    /// Begins a session.
    pub fn begin(&self, address: &str) -> Result<Token> {
        self.begin_at(address, now())
    }

    fn begin_at(&self, address: &str, now: i64) -> Result<Token> {
        let token = Token::new()?;
        self.with(|connection| {
            connection.execute(
                "DELETE FROM session WHERE began <= ?1 OR used <= ?2",
                params![now - LONGEST, now - IDLE],
            )?;
            connection.execute(
                "INSERT INTO session (digest, address, began, used) VALUES (?1, ?2, ?3, ?3)",
                params![token.digest(), address, now],
            )?;
            connection.execute(
                "DELETE FROM session WHERE address = ?1 AND digest NOT IN
                 (SELECT digest FROM session WHERE address = ?1 ORDER BY began DESC LIMIT ?2)",
                params![address, MOST],
            )
        })?;
        Ok(token)
    }

    /// Whose session this is; `None` if there is none any more. It counts as being used.
    pub fn address(&self, digest: &Digest) -> Result<Option<String>> {
        self.address_at(digest, now())
    }

    fn address_at(&self, digest: &Digest, now: i64) -> Result<Option<String>> {
        self.with(|connection| {
            let found: Option<(String, i64)> = connection
                .prepare_cached(
                    "SELECT address, used FROM session WHERE digest = ?1 AND began > ?2 AND used > ?3",
                )?
                .query_row(params![digest, now - LONGEST, now - IDLE], |row| {
                    Ok((row.get(0)?, row.get(1)?))
                })
                .optional()?;
            let Some((address, used)) = found else {
                return Ok(None);
            };
            if now - used >= NOTED {
                let noted = connection.execute(
                    "UPDATE session SET used = ?2 WHERE digest = ?1",
                    params![digest, now],
                );
                if let Err(e) = noted {
                    tracing::warn!("{}: a session will end early: {e}", self.path.display());
                }
            }
            Ok(Some(address))
        })
    }

    pub fn end(&self, digest: &Digest) -> Result<()> {
        self.with(|connection| {
            connection.execute("DELETE FROM session WHERE digest = ?1", [digest])?;
            Ok(())
        })
    }

    /// Ends every session of somebody.
    pub fn end_all(&self, address: &str) -> Result<()> {
        self.with(|connection| {
            connection.execute("DELETE FROM session WHERE address = ?1", [address])?;
            Ok(())
        })
    }

    /// How many sessions there are.
    pub fn count(&self) -> Result<u64> {
        let now = now();
        self.with(|connection| {
            let counted: i64 = connection.query_row(
                "SELECT count(*) FROM session WHERE began > ?1 AND used > ?2",
                [now - LONGEST, now - IDLE],
                |row| row.get(0),
            )?;
            Ok(counted.unsigned_abs())
        })
    }

    /// Wrong guesses, by the digest of the account.
    pub fn guesses(&self) -> Result<Vec<(Digest, Guesses)>> {
        self.with(|connection| {
            let mut rows = connection.prepare("SELECT account, failures, last FROM guess")?;
            let rows = rows.query_map([], |row| {
                let guesses = Guesses {
                    failures: row.get(1)?,
                    last: row.get(2)?,
                };
                Ok((row.get(0)?, guesses))
            })?;
            rows.collect()
        })
    }

    /// Keeps what is known of an account, or forgets it; and forgets those that are older than `oldest`.
    pub fn keep_guesses(
        &self,
        account: &Digest,
        guesses: Option<Guesses>,
        oldest: i64,
    ) -> Result<()> {
        self.with(|connection| {
            connection.execute("DELETE FROM guess WHERE last < ?1", [oldest])?;
            match guesses {
                Some(Guesses { failures, last }) => connection.execute(
                    "INSERT OR REPLACE INTO guess (account, failures, last) VALUES (?1, ?2, ?3)",
                    params![account, failures, last],
                )?,
                None => connection.execute("DELETE FROM guess WHERE account = ?1", [account])?,
            };
            Ok(())
        })
    }
}

enum Trouble {
    Damaged(rusqlite::Error),
    Other(rusqlite::Error),
}

impl From<rusqlite::Error> for Trouble {
    fn from(e: rusqlite::Error) -> Self {
        match e.sqlite_error_code() {
            Some(ErrorCode::NotADatabase | ErrorCode::DatabaseCorrupt) => Self::Damaged(e),
            _ => Self::Other(e),
        }
    }
}

fn connect(path: &Path) -> Result<Connection, Trouble> {
    // SQLite would make it readable for others.
    let made = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(path);
    if let Err(e) = made {
        tracing::debug!("{}: {e}", path.display());
    }
    let mut connection = Connection::open(path)?;
    connection.busy_timeout(Duration::from_secs(5))?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", "NORMAL")?;
    let transaction = connection.transaction()?;
    let layout: i32 = transaction.query_row("PRAGMA user_version", [], |row| row.get(0))?;
    if layout != LAYOUT {
        transaction.execute_batch("DROP TABLE IF EXISTS session; DROP TABLE IF EXISTS guess;")?;
        transaction.execute_batch(TABLES)?;
        transaction.pragma_update(None, "user_version", LAYOUT)?;
    }
    transaction.commit()?;
    Ok(connection)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn sessions_begin_are_used_and_end() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("portal");
        let sessions = Sessions::open(&path).unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(&path), 0o700);
        assert_eq!(mode(&path.join("sessions.sqlite")), 0o600);

        let start = 1_800_000_000;
        let token = sessions.begin_at("ann@a.example", start).unwrap();
        let whose = |token: &Token, now| sessions.address_at(&token.digest(), now).unwrap();
        assert_eq!(whose(&token, start + 5).as_deref(), Some("ann@a.example"));
        assert_eq!(whose(&Token([7; 32]), start), None);
        // It lives as long as it is used, twelve hours at most.
        let mut last = start;
        while last < start + LONGEST {
            assert!(whose(&token, last).is_some());
            last += IDLE - 1;
        }
        assert_eq!(whose(&token, start + LONGEST), None);
        let idle = sessions.begin_at("ann@a.example", start).unwrap();
        assert_eq!(whose(&idle, start + IDLE), None);

        let (one, two, other) = (
            sessions.begin_at("ann@a.example", start).unwrap(),
            sessions.begin_at("ann@a.example", start).unwrap(),
            sessions.begin_at("bob@b.example", start).unwrap(),
        );
        sessions.end(&one.digest()).unwrap();
        assert_eq!(whose(&one, start), None);
        assert!(whose(&two, start).is_some());
        let again = Sessions::open(&path).unwrap();
        again.end_all("ann@a.example").unwrap();
        assert_eq!(whose(&two, start), None);
        assert!(whose(&other, start).is_some());
    }

    #[test]
    fn nobody_has_endless_sessions() {
        let dir = tempfile::tempdir().unwrap();
        let sessions = Sessions::open(dir.path()).unwrap();
        let start = now();
        let first = sessions.begin_at("ann", start - 10).unwrap();
        for _ in 0..2 * MOST {
            sessions.begin_at("ann", start).unwrap();
        }
        assert_eq!(sessions.count().unwrap(), u64::from(MOST));
        assert_eq!(sessions.address_at(&first.digest(), start).unwrap(), None);
    }

    #[test]
    fn tokens_are_only_what_they_are() {
        let token = Token::new().unwrap();
        let text = token.text();
        assert_eq!(Token::parse(&text).unwrap().digest(), token.digest());
        assert_ne!(token.of_forms(), text);
        assert_ne!(hex(&token.digest()), text);
        let odd = [
            String::new(),
            text[1..].to_owned(),
            "é".repeat(32),
            "+1".repeat(32),
        ];
        for odd in odd {
            assert!(Token::parse(&odd).is_none(), "{odd}");
        }
    }

    #[test]
    fn a_damaged_database_is_set_aside() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("sessions.sqlite"), vec![b'x'; 9000]).unwrap();
        let sessions = Sessions::open(dir.path()).unwrap();
        assert!(sessions.begin("ann").is_ok());
        assert!(dir.path().join("sessions.sqlite.damaged").exists());
    }
}
