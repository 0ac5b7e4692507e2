//! Tests of a conversation, with what a server says written out.

use super::super::Mailbox;
use super::*;
use crate::restore::live::Live;
use std::collections::HashSet;
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
fn folders_of_others_are_not_the_users() {
    let said = "* PREAUTH hello\r\n* CAPABILITY IMAP4rev1\r\nm1 OK\r\n\
                * NAMESPACE ((\"\" \"/\")) ((\"user/\" \"/\")) ((\"Public/\" \"/\")(\"\" \"/\"))\r\nm2 OK\r\n\
                * LIST () \"/\" INBOX\r\n* LIST () \"/\" Public\r\n* LIST () \"/\" Public/List\r\n\
                * LIST () \"/\" user/bob\r\n* LIST () \"/\" Publications\r\nm3 OK\r\n";
    let folders = session(said).unwrap().folders().unwrap();
    let names: Vec<&str> = folders.iter().map(|f| f.decoded.as_str()).collect();
    assert_eq!(names, ["INBOX", "Publications"]);
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
fn flags_told_unasked_hide_no_message() {
    let list = "* LIST () \".\" INBOX\r\n";
    let opened = "* 2 EXISTS\r\n* OK [UIDVALIDITY 9] x\r\n* OK [UIDNEXT 8] x\r\n";
    let unasked = "* 2 FETCH (UID 7 FLAGS (\\Seen))\r\n* 1 FETCH (UID 6 FLAGS (\\Seen))\r\n";
    let header = "Subject: none\r\n\r\n";
    let message = |uid: u32, field: &str, header: &str| {
        let size = header.len();
        let at = uid - 5;
        format!("* {at} FETCH (UID {uid} RFC822.SIZE 40 BODY[{field}] {{{size}}}\r\n{header})\r\n")
    };
    let by_id = "Message-ID: <a@b>\r\n\r\n";
    let said = format!(
        "{HELLO}{list}m3 OK\r\n{list}m4 OK\r\n{opened}m5 OK\r\n{}{}{unasked}m6 OK\r\n{}{unasked}m7 OK\r\n\
         {list}m8 OK\r\n{opened}m9 OK\r\n",
        message(6, "HEADER.FIELDS (MESSAGE-ID)", by_id),
        message(7, "HEADER.FIELDS (MESSAGE-ID)", "\r\n"),
        message(7, "", header),
    );
    let mut mailbox = Mailbox::new(session(&said).unwrap()).unwrap();
    let ids = [by_id, header].map(|h| super::super::id_in(h.as_bytes()).unwrap());
    let found = mailbox.find(&ids.into(), &HashSet::new()).unwrap();
    let places = ids.map(|id| found.by_id.get(&id).cloned().unwrap_or_default());
    assert_eq!(places, [[(0, 40)], [(0, 40)]]);
}

#[test]
fn the_master_user_is_in_when_the_server_says_so() {
    let begin = |said: &str| {
        let said = format!("* OK hello\r\n+ go\r\nm1 {said}\r\nm2 OK\r\nm3 OK\r\n");
        let script = Script(io::Cursor::new(said.into_bytes()));
        Session::begin(Box::new(script), Some(("alice", "restorer", "x")))
    };
    assert!(begin("OK").is_ok() && begin("OK in").is_ok());
    for refused in ["OKAY", "NO", "BAD OK", ""] {
        assert!(begin(refused).is_err(), "{refused}");
    }
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
        "* OK hello\r\nm1 OKAY\r\n",
        "* OK hello\r\nm1 OK\tx\r\n",
        "* OK hello\r\nm1 NOT so\r\n",
        "* OKAY hello\r\nm1 OK\r\n",
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
