//! The clients of `scripts/load`, and the mail server that lets them in. As small as can be, since they take processors from
//! what they measure.
//!
//! Built by that script with `rustc -O`; the standard library only.

use std::collections::BTreeMap;
use std::io::{self, BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::process::ExitCode;
use std::time::{Duration, Instant};

const USAGE: &str = "\
usage: load imap                       an IMAP server to which every password is right; prints its port
       load users AT COUNT SECONDS     so many users read and download at once
       load download AT ADDRESS PATH   one answer to the end, for somebody signed in";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let result = match arguments[..] {
        ["imap"] => imap(),
        ["users", at, count, seconds] => users(at, number(count), number(seconds)),
        ["download", at, address, path] => download(at, address, path),
        _ => Err(io::Error::other(USAGE)),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("load: {e}");
            ExitCode::FAILURE
        }
    }
}

fn number(text: &str) -> u64 {
    text.parse().expect("a number")
}

/// Lets everybody in.
fn imap() -> io::Result<()> {
    let socket = TcpListener::bind("127.0.0.1:0")?;
    println!("{}", socket.local_addr()?.port());
    for stream in socket.incoming() {
        std::thread::spawn(move || -> io::Result<()> {
            let mut stream = stream?;
            stream.write_all(b"* OK ready\r\n")?;
            let mut lines = BufReader::new(stream.try_clone()?);
            let (mut line, mut tag) = (String::new(), String::new());
            while lines.read_line(&mut line)? > 0 {
                if let Some((first, rest)) = line.split_once(' ')
                    && rest.starts_with("LOGIN")
                {
                    tag = first.to_owned();
                }
                match line.trim_end().ends_with('}') {
                    true => stream.write_all(b"+ go on\r\n")?,
                    false => stream.write_all(format!("{tag} OK in\r\n").as_bytes())?,
                }
                line.clear();
            }
            Ok(())
        });
    }
    Ok(())
}

/// An answer: its status and header, its body as far as it is kept, and how long the body was.
struct Answer {
    status: u16,
    head: String,
    body: Vec<u8>,
    bytes: u64,
}

/// A connection that is kept.
struct Client {
    at: String,
    stream: BufReader<TcpStream>,
    cookie: String,
    /// Where the proxy says that it comes from.
    from: String,
}

impl Client {
    /// Signs in. `number` tells users apart who come from different places.
    fn new(at: &str, address: &str, number: u64) -> io::Result<Self> {
        let mut client = Self {
            at: at.to_owned(),
            stream: BufReader::new(TcpStream::connect(at)?),
            cookie: String::new(),
            from: format!("10.{}.{}.1", number / 250, number % 250),
        };
        let form = format!("address={}&password=x&back=/", address.replace('@', "%40"));
        let answer = client.say("POST", "/sign-in", &form, 0)?;
        let cookie = answer
            .head
            .split("set-cookie: ")
            .nth(1)
            .and_then(|rest| rest.split(';').next());
        match (answer.status, cookie) {
            (303, Some(cookie)) => client.cookie = cookie.to_owned(),
            (status, _) => {
                return Err(io::Error::other(format!(
                    "{address} cannot sign in: {status}"
                )));
            }
        }
        Ok(client)
    }

    /// Says a request and reads the answer; of the body `kept` bytes are kept.
    fn say(&mut self, method: &str, path: &str, form: &str, kept: usize) -> io::Result<Answer> {
        let mut said = format!(
            "{method} {path} HTTP/1.1\r\nHost: {}\r\nX-Forwarded-For: {}\r\nCookie: {}\r\n",
            self.at, self.from, self.cookie
        );
        if method == "POST" {
            said += &format!(
                "Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {}\r\n",
                form.len()
            );
        }
        said += "\r\n";
        said += form;
        self.stream.get_mut().write_all(said.as_bytes())?;
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            if self.stream.read_line(&mut head)? == 0 {
                return Err(io::Error::other(format!("{path}: hung up on")));
            }
        }
        let status = head
            .split(' ')
            .nth(1)
            .and_then(|s| s.parse().ok())
            .unwrap_or(0);
        let field = |name: &str| {
            head.split(name)
                .nth(1)
                .and_then(|rest| rest.split("\r\n").next())
        };
        let mut answer = Answer {
            status,
            body: Vec::new(),
            bytes: 0,
            head: String::new(),
        };
        if let Some(length) = field("content-length: ") {
            self.take(number(length), &mut answer, kept)?;
        } else if field("transfer-encoding: ") == Some("chunked") {
            loop {
                let mut line = String::new();
                self.stream.read_line(&mut line)?;
                let size = u64::from_str_radix(line.trim_end(), 16);
                let size = size.map_err(|_| io::Error::other(format!("{path}: breaks off")))?;
                self.take(size, &mut answer, kept)?;
                self.stream.read_line(&mut line)?;
                if size == 0 {
                    break;
                }
            }
        }
        answer.head = head;
        Ok(answer)
    }

    fn take(&mut self, mut left: u64, answer: &mut Answer, kept: usize) -> io::Result<()> {
        answer.bytes += left;
        while left > 0 {
            let some = self.stream.fill_buf()?;
            let len = some.len().min(usize::try_from(left).unwrap_or(usize::MAX));
            if len == 0 {
                return Err(io::Error::other("an answer breaks off"));
            }
            let room = kept.saturating_sub(answer.body.len()).min(len);
            answer.body.extend_from_slice(&some[..room]);
            self.stream.consume(len);
            left -= len as u64;
        }
        Ok(())
    }

    fn get(&mut self, path: &str, kept: usize) -> io::Result<Answer> {
        self.say("GET", path, "", kept)
    }
}

/// What one user saw: of each kind of page how long each took, and how many bytes came.
#[derive(Default)]
struct Seen {
    times: BTreeMap<&'static str, Vec<Duration>>,
    bytes: u64,
    /// Answers that are not what was asked for.
    wrong: BTreeMap<String, u64>,
}

/// Reads and downloads until it is time.
fn read(
    client: &mut Client,
    address: &str,
    mut chance: u64,
    end: Instant,
    seen: &mut Seen,
) -> io::Result<()> {
    let list = format!("/list/{address}/2026-11-20/INBOX");
    let mut messages: Vec<String> = Vec::new();
    while Instant::now() < end {
        chance = chance
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        let dice = (chance >> 33) % 100;
        let message = messages.get(dice as usize % messages.len().max(1)).cloned();
        let of_message = |page: &str| message.as_ref().map(|m| m.replacen("/message/", page, 1));
        let (kind, path) = match dice {
            0..10 => ("calendar", "/".to_owned()),
            10..20 => ("folders", format!("/folders/{address}/2026-11-20")),
            20..55 => ("list", format!("{list}?page={}", dice % 10 + 1)),
            55..85 => ("message", of_message("/message/").unwrap_or(list.clone())),
            85..97 => ("eml", of_message("/eml/").unwrap_or(list.clone())),
            _ => (
                "folder (10 MB)",
                format!("/mbox/{address}/2026-11-20/INBOX"),
            ),
        };
        let start = Instant::now();
        let answer = client.get(&path, if kind == "list" { 1 << 20 } else { 0 })?;
        seen.times.entry(kind).or_default().push(start.elapsed());
        seen.bytes += answer.bytes;
        if answer.status != 200 {
            *seen
                .wrong
                .entry(format!("{kind}: {}", answer.status))
                .or_default() += 1;
        }
        if kind == "list" {
            let page = String::from_utf8_lossy(&answer.body).into_owned();
            let links = page.split("href=\"/message/").skip(1);
            messages = links
                .map(|rest| format!("/message/{}", rest.split('"').next().unwrap_or_default()))
                .collect();
        }
    }
    Ok(())
}

fn users(at: &str, count: u64, seconds: u64) -> io::Result<()> {
    let start = Instant::now();
    let mut sign_ins = Vec::new();
    let clients: Vec<(u64, io::Result<(Client, Duration)>)> = std::thread::scope(|scope| {
        let signing = (0..count).map(|n| {
            let sign_in = move || {
                let start = Instant::now();
                let client = Client::new(at, &format!("user{n}@example.com"), n)?;
                Ok((client, start.elapsed()))
            };
            (n, scope.spawn(sign_in))
        });
        let signing: Vec<_> = signing.collect();
        let join = |(n, thread): (u64, std::thread::ScopedJoinHandle<'_, _>)| {
            (n, thread.join().expect("a thread"))
        };
        signing.into_iter().map(join).collect()
    });
    println!(
        "{count} users signed in at once: {:.2} s",
        start.elapsed().as_secs_f64()
    );
    let start = Instant::now();
    let end = start + Duration::from_secs(seconds);
    let mut all = Seen::default();
    std::thread::scope(|scope| -> io::Result<()> {
        let mut reading = Vec::new();
        for (n, client) in clients {
            let (mut client, took) = client?;
            sign_ins.push(took);
            reading.push(scope.spawn(move || -> io::Result<Seen> {
                let mut seen = Seen::default();
                read(
                    &mut client,
                    &format!("user{n}@example.com"),
                    n + 1,
                    end,
                    &mut seen,
                )?;
                Ok(seen)
            }));
        }
        for thread in reading {
            let seen = thread.join().expect("a thread")?;
            all.bytes += seen.bytes;
            for (kind, times) in seen.times {
                all.times.entry(kind).or_default().extend(times);
            }
            for (kind, n) in seen.wrong {
                *all.wrong.entry(kind).or_default() += n;
            }
        }
        Ok(())
    })?;
    let took = start.elapsed().as_secs_f64();
    let total: usize = all.times.values().map(Vec::len).sum();
    println!(
        "{total} answers in {took:.1} s: {:.0}/s, {:.0} MB/s",
        total as f64 / took,
        all.bytes as f64 / took / 1e6
    );
    println!(
        "{:<16} {:>7} {:>9} {:>9} {:>9}",
        "", "answers", "median", "99 %", "longest"
    );
    for (kind, mut times) in std::iter::once(("sign-in", sign_ins)).chain(all.times) {
        times.sort();
        let at =
            |part: f64| times[((times.len() - 1) as f64 * part) as usize].as_secs_f64() * 1000.0;
        println!(
            "{kind:<16} {:>7} {:>6.0} ms {:>6.0} ms {:>6.0} ms",
            times.len(),
            at(0.5),
            at(0.99),
            at(1.0)
        );
    }
    match all.wrong.is_empty() {
        true => Ok(()),
        false => Err(io::Error::other(format!("wrong answers: {:?}", all.wrong))),
    }
}

fn download(at: &str, address: &str, path: &str) -> io::Result<()> {
    let mut client = Client::new(at, address, 999)?;
    let start = Instant::now();
    let answer = client.get(path, 0)?;
    let took = start.elapsed().as_secs_f64();
    if answer.status != 200 {
        return Err(io::Error::other(format!("{path}: {}", answer.status)));
    }
    println!(
        "{path}: {:.3} MB in {took:.3} s, {:.0} MB/s",
        answer.bytes as f64 / 1e6,
        answer.bytes as f64 / 1e6 / took
    );
    Ok(())
}
