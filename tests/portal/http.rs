//! A browser without a window: requests over plain HTTP, with cookies, byte by byte as a test wants them.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// An answer.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    /// Names in lower case; of several with one name the values are joined by a line feed.
    pub headers: BTreeMap<String, String>,
    pub body: Vec<u8>,
}

impl Answer {
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", String::as_str)
    }

    pub fn text(&self) -> String {
        String::from_utf8(self.body.clone()).unwrap()
    }

    /// Where it leads.
    pub fn location(&self) -> &str {
        self.header("location")
    }

    /// The value of the first field of this name in the page's forms.
    pub fn field(&self, name: &str) -> String {
        let text = self.text();
        let at = text
            .find(&format!("name=\"{name}\" value=\""))
            .unwrap_or_else(|| panic!("no field {name}: {text}"));
        let value = text[at..].split('"').nth(3).unwrap();
        value.to_owned()
    }
}

/// Says something to a server, and reads what it answers until that is whole or it hangs up.
pub fn say(at: SocketAddr, said: &[u8]) -> Vec<u8> {
    try_say(at, said).unwrap()
}

/// The same of a server that may not be there; what it answered before it went may not be whole.
pub fn try_say(at: SocketAddr, said: &[u8]) -> Option<Vec<u8>> {
    let mut stream = TcpStream::connect(at).ok()?;
    stream
        .set_read_timeout(Some(Duration::from_secs(60)))
        .unwrap();
    stream.write_all(said).ok()?;
    let (mut answer, mut buffer) = (Vec::new(), vec![0; 64 << 10]);
    let mut whole = None;
    while whole.is_none_or(|whole| answer.len() < whole) {
        // It may hang up before it has read everything.
        match stream.read(&mut buffer) {
            Ok(0) | Err(_) => break,
            Ok(n) => answer.extend_from_slice(&buffer[..n]),
        }
        whole = whole.or_else(|| length(&answer));
    }
    Some(answer)
}

/// An answer, if it is whole; only of one that says how long it is.
pub fn try_parse(bytes: &[u8]) -> Option<Answer> {
    let whole = length(bytes)?;
    (bytes.len() >= whole).then(|| parse(bytes))
}

/// How long an answer is, once its header is there and says so.
fn length(answer: &[u8]) -> Option<usize> {
    let end = answer.windows(4).position(|w| w == b"\r\n\r\n")? + 4;
    let head = String::from_utf8_lossy(&answer[..end]).to_lowercase();
    let said = head.split("content-length:").nth(1)?.split("\r\n").next()?;
    Some(end + said.trim().parse::<usize>().ok()?)
}

/// Takes an answer apart.
pub fn parse(bytes: &[u8]) -> Answer {
    let end = bytes
        .windows(4)
        .position(|w| w == b"\r\n\r\n")
        .unwrap_or_else(|| panic!("no answer: {}", String::from_utf8_lossy(bytes)));
    let head = std::str::from_utf8(&bytes[..end]).unwrap();
    let mut lines = head.split("\r\n");
    let status = lines.next().unwrap().split(' ').nth(1).unwrap();
    let mut headers: BTreeMap<String, String> = BTreeMap::new();
    for line in lines {
        let (name, value) = line.split_once(':').unwrap();
        let entry = headers.entry(name.to_lowercase()).or_default();
        if !entry.is_empty() {
            entry.push('\n');
        }
        entry.push_str(value.trim());
    }
    let rest = &bytes[end + 4..];
    let chunked = headers
        .get("transfer-encoding")
        .is_some_and(|v| v == "chunked");
    Answer {
        status: status.parse().unwrap(),
        headers,
        body: if chunked { join(rest) } else { rest.to_vec() },
    }
}

fn join(mut rest: &[u8]) -> Vec<u8> {
    let mut body = Vec::new();
    loop {
        let end = rest.windows(2).position(|w| w == b"\r\n").unwrap();
        let size = std::str::from_utf8(&rest[..end]).unwrap();
        let size = usize::from_str_radix(size, 16).unwrap();
        rest = &rest[end + 2..];
        if size == 0 {
            return body;
        }
        body.extend_from_slice(&rest[..size]);
        rest = &rest[size + 2..];
    }
}

/// `name=value` pairs as a form sends them.
pub fn encode(fields: &[(&str, &str)]) -> String {
    let mut text = form_urlencoded::Serializer::new(String::new());
    text.extend_pairs(fields);
    text.finish()
}

/// A browser: it keeps its cookies, and follows nothing by itself.
pub struct Browser {
    pub at: SocketAddr,
    pub cookies: BTreeMap<String, String>,
    /// Headers of every request, besides the necessary ones.
    pub headers: Vec<(String, String)>,
}

impl Browser {
    pub fn new(at: SocketAddr) -> Self {
        Self {
            at,
            cookies: BTreeMap::new(),
            headers: Vec::new(),
        }
    }

    pub fn with(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    pub fn get(&mut self, path: &str) -> Answer {
        self.request("GET", path, None)
    }

    pub fn post(&mut self, path: &str, fields: &[(&str, &str)]) -> Answer {
        self.request("POST", path, Some(&encode(fields)))
    }

    pub fn request(&mut self, method: &str, path: &str, body: Option<&str>) -> Answer {
        let said = self.words(method, path, body);
        let answer = parse(&say(self.at, said.as_bytes()));
        for cookie in answer.header("set-cookie").split('\n') {
            let Some((name, value)) = cookie.split(';').next().unwrap().split_once('=') else {
                continue;
            };
            if cookie.contains("Max-Age=0") {
                self.cookies.remove(name);
            } else {
                self.cookies.insert(name.to_owned(), value.to_owned());
            }
        }
        answer
    }

    /// A request as it is said.
    pub fn words(&self, method: &str, path: &str, body: Option<&str>) -> String {
        let mut said = format!(
            "{method} {path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n",
            self.at
        );
        if !self.cookies.is_empty() {
            let pairs: Vec<String> = self
                .cookies
                .iter()
                .map(|(k, v)| format!("{k}={v}"))
                .collect();
            said += &format!("Cookie: {}\r\n", pairs.join("; "));
        }
        for (name, value) in &self.headers {
            said += &format!("{name}: {value}\r\n");
        }
        if let Some(body) = body {
            said += &format!(
                "Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {}\r\n",
                body.len()
            );
        }
        said += "\r\n";
        said += body.unwrap_or_default();
        said
    }

    /// Signs in, which has to succeed.
    pub fn sign_in(&mut self, address: &str, password: &str) -> Answer {
        let fields = [("address", address), ("password", password), ("back", "/")];
        let answer = self.post("/sign-in", &fields);
        assert_eq!(answer.status, 303, "{}", answer.text());
        answer
    }

    /// The token that forms of this session carry.
    pub fn token(&mut self) -> String {
        self.get("/").field("token")
    }
}
