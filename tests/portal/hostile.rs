//! What senders, and who named a folder, would do to a reader: it is shown as text, or not at all.

use crate::harness::{able, utc};
use crate::reading::{ids, link, page, world};
use crate::world::{ALICE, DAYS, World};

const NEEDED: [&str; 2] = ["doveadm", "dovecot"];

/// A letter with everything that a page must not believe.
pub const HOSTILE: &str = "From: \"<script>alert(1)</script>\" <x@example.com>\r\nTo: alice@example.com\r\n\
    Subject: <script>alert(2)</script> =?utf-8?Q?Gr=C3=BC=C3=9Fe?=\r\nMIME-Version: 1.0\r\n\
    Content-Type: multipart/mixed; boundary=b\r\n\r\n\
    --b\r\nContent-Type: text/html; charset=utf-8\r\n\r\n<p onclick=alert(3)>Gr\u{fc}\u{df}e <script>alert(4)</script>\
    <img src=https://tracker.example/p.gif><img src=cid:pic><a href=javascript:alert(5)>x</a></p>\r\n\
    --b\r\nContent-Type: image/png\r\nContent-ID: <pic>\r\nContent-Transfer-Encoding: base64\r\n\r\niVBORw0KGgowMDAw\r\n\
    --b\r\nContent-Type: text/html; name=\"<script>alert(6)</script>.html\"\r\nContent-Disposition: attachment\r\n\r\n<script>alert(7)</script>\r\n\
    --b\r\nContent-Type: message/rfc822\r\n\r\nSubject: inner <script>\r\n\r\nsee https://example.com/x\r\n\
    --b--\r\n";

#[test]
fn a_hostile_message_is_harmless() {
    if !able(&NEEDED) {
        return;
    }
    let world = world();
    let portal = world.portal();
    let mut alice = portal.signed_in(ALICE);
    let found = page(
        &mut alice,
        &format!("/search/{ALICE}?subject=Gr%C3%BC%C3%9Fe"),
    );
    let message = link(&found, "/message/");
    let shown = page(&mut alice, &message);
    assert!(
        shown.contains("&#60;script&#62;alert(2)&#60;/script&#62; Grüße"),
        "{shown}"
    );
    assert!(shown.contains("sandbox=\"allow-popups allow-popups-to-escape-sandbox\""));

    let frame_at = link(&shown, "/frame/");
    let frame = alice.get(&frame_at);
    let policy = frame.header("content-security-policy").to_owned();
    assert!(
        policy.contains("default-src 'none'")
            && policy.contains("sandbox")
            && !policy.contains("https:")
    );
    let html = frame.text();
    assert!(
        html.contains("Grüße") && html.contains("data:image/png;base64,"),
        "{html}"
    );
    for harm in ["alert", "tracker", "onclick", "javascript"] {
        assert!(!html.contains(harm), "{harm}: {html}");
    }
    let remote = page(
        &mut alice,
        &link(
            &shown,
            &format!("{message}?as=html&amp;remote=yes").replace("&amp;", "&#38;"),
        ),
    );
    let frame = alice.get(&link(&remote, "/frame/"));
    assert!(frame.text().contains("https://tracker.example/p.gif"));
    assert!(
        frame
            .header("content-security-policy")
            .contains("img-src data: https: http:")
    );
    assert!(page(&mut alice, &format!("{message}?as=text")).contains("Grüße"));

    // Attachments are given to be saved, and under names that are safe.
    let attachments: Vec<&str> = shown
        .split("href=\"/attachment/")
        .skip(1)
        .map(|a| a.split('"').next().unwrap())
        .collect();
    let mut kinds = Vec::new();
    for at in &attachments {
        let answer = alice.get(&format!("/attachment/{}", at.replace("&#38;", "&")));
        assert_eq!(answer.status, 200, "{at}");
        assert_eq!(answer.header("x-content-type-options"), "nosniff");
        assert!(answer.header("content-security-policy").contains("sandbox"));
        let (kind, way) = (
            answer.header("content-type"),
            answer.header("content-disposition"),
        );
        assert!(
            !way.contains(['<', '>'])
                && (way.starts_with("attachment;") || at.ends_with("?open=yes")),
            "{way}"
        );
        assert!(!kind.contains("html"), "{kind}");
        kinds.push(kind.to_owned());
    }
    assert!(kinds.contains(&"image/png".to_owned()), "{kinds:?}");
    let inner = link(&shown, &format!("{message}?in="));
    let inner = page(&mut alice, &inner);
    assert!(inner.contains("inner &#60;script&#62;"), "{inner}");
    assert!(inner.contains(
        "<a href=\"https://example.com/x\" target=\"_blank\" rel=\"noopener noreferrer nofollow\">"
    ));

    let source = alice.get(&message.replacen("/message/", "/source/", 1));
    assert_eq!(source.header("content-type"), "text/plain; charset=utf-8");
    assert_eq!(source.body, HOSTILE.as_bytes());
    let eml = alice.get(&message.replacen("/message/", "/eml/", 1));
    assert_eq!(eml.body, HOSTILE.as_bytes());
    assert!(
        eml.header("content-disposition")
            .starts_with("attachment; filename=\"2026-11-19 1000 ")
    );
}

/// All addresses in a page that begin like this.
fn links(page: &str, begins: &str) -> Vec<String> {
    let quoted = format!("href=\"{begins}");
    let parts = page.split(quoted.as_str()).skip(1);
    let rest = parts.map(|part| part.split('"').next().unwrap());
    rest.map(|rest| format!("{begins}{}", rest.replace("&#38;", "&")))
        .collect()
}

#[test]
fn names_of_folders_and_attachments_are_only_names() {
    if !able(&NEEDED) {
        return;
    }
    let world = World::new();
    let mailbox = world.store.mailbox(DAYS[1], ALICE);
    // The last ones are, in modified UTF-7: "/../bob", a line of a header, and an override of the direction.
    let folders = [
        "\"><img src=x onerror=alert(1)>",
        "';alert(2)",
        "%2e%2e%2fbob",
        "..%2f..%2fetc",
        "C:\\con",
        "{{7*7}}{% raw %}",
        "&AC8-..&AC8-bob",
        "&AA0ACg-Set-Cookie: evil=1",
        "&IC4-fdp.exe",
    ];
    // What a header, a path or a page could be made of.
    let names = [
        "filename*=utf-8''a%0d%0aSet-Cookie%3A%20evil%3D1%0d%0a%0d%0a%3Cscript%3Ealert(3)%3C%2Fscript%3E.txt",
        "filename=\"a\\\"; filename=evil.html; x=\\\".txt\"",
        "filename=\"../../../etc/passwd\"",
        "filename=\"=?utf-8?Q?=0D=0ASet-Cookie:_evil=3D1?=\"",
        "filename=\"<script>alert(4)</script>.html\"",
        "filename*=utf-8''%E2%80%AEfdp.exe",
    ];
    let parts = names.map(|name| {
        format!("--b\r\nContent-Type: text/html\r\nContent-Disposition: attachment; {name}\r\n\r\n<script>alert(5)</script>\r\n")
    });
    let message = format!(
        "From: \"=?utf-8?Q?=0D=0ABcc:_x=40example.com?=\" <x@example.com>\r\nSubject: =?utf-8?Q?=0D=0ASet-Cookie:_evil=3D1?=\r\n\
         MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n{}--b--\r\n",
        parts.concat()
    );
    for folder in folders {
        let received = utc("2026-11-19 10:00:00");
        mailbox.put(&format!("{folder}/cur"), "9.A.mx:2,S", &message, received);
    }
    let portal = world.portal();
    let mut alice = portal.signed_in(ALICE);
    let shown = page(&mut alice, &format!("/folders/{ALICE}/{}", DAYS[1]));
    assert!(!shown.contains("<img src=x"), "{shown}");
    // Nothing is worked out: the name as it stands, but for what is not safe in one.
    assert!(shown.contains("<bdi>{{7_7}}{% raw %}</bdi>"), "{shown}");
    let lists: Vec<String> = links(&shown, "/list/");
    // INBOX and Sent are there, too.
    assert_eq!(lists.len(), folders.len() + 2, "{lists:?}");
    let mut attachments = 0;
    for at in lists {
        let shown = page(&mut alice, &at);
        assert!(!shown.contains("<img src=x"), "{shown}");
        for way in ["mbox", "maildir"] {
            let taken = alice.get(&at.replacen("/list/", &format!("/{way}/"), 1));
            assert_eq!(taken.status, 200, "{way} of {at}");
            is_harmless(&taken.headers);
        }
        for id in ids(&shown) {
            let message = link(&shown, "/message/");
            assert!(message.contains(&id) || !message.is_empty());
            let shown = page(&mut alice, &message);
            for at in links(&shown, "/attachment/") {
                let taken = alice.get(&at);
                assert_eq!(taken.status, 200, "{at}");
                is_harmless(&taken.headers);
                let way = taken.header("content-disposition");
                assert!(way.starts_with("attachment; filename=\""), "{way}");
                attachments += 1;
            }
            is_harmless(
                &alice
                    .get(&message.replacen("/message/", "/eml/", 1))
                    .headers,
            );
        }
    }
    assert!(attachments >= folders.len() * names.len(), "{attachments}");
}

/// No header that a message or a name has made, and a name for the file that is one name.
fn is_harmless(headers: &std::collections::BTreeMap<String, String>) {
    assert!(
        !headers.contains_key("set-cookie") && !headers.contains_key("bcc"),
        "{headers:?}"
    );
    let way = headers["content-disposition"].as_str();
    let plain = way.split('"').nth(1).unwrap();
    let odd = |c: char| !c.is_ascii_graphic() && c != ' ' || "/\\<>".contains(c);
    assert!(!plain.contains(odd) && plain != "..", "{way}");
    assert_eq!(way.matches('"').count(), 2, "{way}");
    assert!(
        !way.contains("%2F") && !way.contains("%0D") && !way.contains("%E2%80%AE"),
        "{way}"
    );
}
