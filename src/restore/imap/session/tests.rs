//! Tests of a conversation, with what a server says written out.

use super::*;
use std::io;

struct Script(io::Cursor<Vec<u8>>);

impl io::Read for Script {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        // A few bytes at a time.
        let n = buffer.len().min(3);
        self.0.read(&mut buffer[..n])
    }
}

impl io::Write for Script {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Transport for Script {}

fn session(said: &str) -> Result<Session> {
    let script = Script(io::Cursor::new(said.as_bytes().to_vec()));
    Session::begin(Box::new(script), None)
}

const HELLO: &str = "* PREAUTH hello\r\n* CAPABILITY IMAP4rev1 UIDPLUS\r\nm1 OK\r\n\
                     * NAMESPACE ((\"INBOX.\" \".\")) NIL NIL\r\nm2 OK\r\n";

#[test]
fn folders_of_every_form() {
    let said = format!(
        "{HELLO}* LIST (\\HasChildren) \".\" INBOX\r\n* LIST () \".\" {{16}}\r\nINBOX.Entw&APw-r\r\n\
         * LIST (\\Noselect) \".\" \"INBOX.a\"\r\n* LIST () \".\" \"INBOX.a.b \\\"c\"\r\nm3 OK\r\n"
    );
    let mut session = session(&said).unwrap();
    assert!(session.uidplus);
    let names: Vec<String> = session
        .folders()
        .unwrap()
        .into_iter()
        .map(|f| f.decoded)
        .collect();
    assert_eq!(names, ["INBOX", "Entwür", "a/b \"c"]);
    let path = ["a", "ü"].map(str::to_owned);
    assert_eq!(session.encode(&path).unwrap(), b"INBOX.a.&APw-");
    assert!(session.encode(&["a.b".to_owned()]).is_err());
}

#[test]
fn refusals_and_rubbish() {
    let mut refused = session(&format!("{HELLO}m3 NO there is not\r\n")).unwrap();
    assert_eq!(refused.open(b"x", false).unwrap_err().kind(), Kind::Invalid);
    for said in [
        "",
        "* BYE\r\n",
        "* OK who is it\r\n",
        "* PREAUTH\r\n",
        "{99999999999999999999}\r\n",
    ] {
        assert!(session(said).is_err(), "{said}");
    }
    let long = format!("{HELLO}{}", "x".repeat(2 * LONGEST));
    assert!(session(&long).unwrap().folders().is_err());
}

#[test]
fn passwords_are_taken_or_not() {
    let takes = |said: &str, user: &str, password: &str| {
        let script = Script(io::Cursor::new(said.as_bytes().to_vec()));
        takes_password(Box::new(script), user, password)
    };
    let asked = "* OK hello\r\n+ go\r\n+ go\r\n* CAPABILITY X\r\n";
    assert!(takes(&format!("{asked}m1 OK in\r\n"), "alice", "ä \" \\").unwrap());
    let no = format!("{asked}m1 NO [AUTHENTICATIONFAILED] no\r\n");
    assert!(!takes(&no, "alice", "x").unwrap());
    for undecided in [
        "* PREAUTH hello\r\nm1 OK\r\n",
        "* OK hello\r\nm1 BAD what\r\n",
        "* OK hello\r\nm1 NO [UNAVAILABLE] later\r\n",
        "* OK hello\r\n+ go\r\n+ go\r\n+ go\r\n",
        "* OK hello\r\n* BYE\r\n",
        "",
    ] {
        assert!(takes(undecided, "alice", "x").is_err(), "{undecided}");
    }
    for (user, password) in [("", "x"), ("x", ""), ("a\r\nb", "x"), ("a", "x\0")] {
        let e = takes("* OK\r\nm1 OK\r\n", user, password).unwrap_err();
        assert_eq!(e.kind(), Kind::Invalid);
    }
}
