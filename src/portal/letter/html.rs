//! HTML of a message, made harmless.
//!
//! What is kept is what is on a list: elements and attributes of text, tables and pictures, and style properties that stay
//! within their element. So there are no scripts, handlers, forms, frames, style sheets or objects. Links lead to `http:`, `https:`
//! or `mailto:`. Pictures that came with the message are in the HTML as `data:`, for a frame without an origin has no session to
//! fetch them with; those from elsewhere are left out unless they are asked for.
//!
//! The result is shown in a frame without scripts and without an origin, under a policy ([`policy`]) that would forbid the same
//! things once more.
//!
//! Invariant: time and memory are in proportion to what is given; nothing panics.

use super::tidy::{EMPTIED, Tidied, tidy};
use crate::fault;
use crate::html::escaped;
use ammonia::{Builder, UrlRelative};
use base64ct::{Base64, Encoding};
use memchr::memmem;
use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use std::sync::LazyLock;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Bytes of pictures that are put into the HTML, however often they are shown.
const MOST_PICTURES: usize = 16 << 20;

/// Elements; of others the text is kept, but for those whose text is none.
const ELEMENTS: [&str; 67] = [
    "a",
    "abbr",
    "acronym",
    "address",
    "article",
    "aside",
    "b",
    "bdi",
    "bdo",
    "big",
    "blockquote",
    "br",
    "caption",
    "center",
    "cite",
    "code",
    "col",
    "colgroup",
    "dd",
    "del",
    "dfn",
    "div",
    "dl",
    "dt",
    "em",
    "figcaption",
    "figure",
    "font",
    "footer",
    "h1",
    "h2",
    "h3",
    "h4",
    "h5",
    "h6",
    "header",
    "hr",
    "i",
    "img",
    "ins",
    "kbd",
    "li",
    "main",
    "mark",
    "ol",
    "p",
    "pre",
    "q",
    "s",
    "samp",
    "section",
    "small",
    "span",
    "strike",
    "strong",
    "sub",
    "sup",
    "table",
    "tbody",
    "td",
    "tfoot",
    "th",
    "thead",
    "tr",
    "tt",
    "ul",
    "wbr",
];

const ATTRIBUTES: [&str; 6] = ["align", "dir", "lang", "style", "title", "valign"];

const OWN_ATTRIBUTES: [(&str, &[&str]); 12] = [
    ("a", &["href", "name"]),
    ("col", &["span", "width"]),
    ("colgroup", &["span", "width"]),
    ("font", &["color", "face", "size"]),
    ("hr", &["noshade", "size", "width"]),
    (
        "img",
        &[
            "alt", "border", "height", "hspace", "src", "vspace", "width",
        ],
    ),
    ("li", &["type", "value"]),
    ("ol", &["start", "type"]),
    (
        "table",
        &[
            "bgcolor",
            "border",
            "cellpadding",
            "cellspacing",
            "height",
            "width",
        ],
    ),
    (
        "td",
        &["bgcolor", "colspan", "height", "nowrap", "rowspan", "width"],
    ),
    (
        "th",
        &[
            "bgcolor", "colspan", "height", "nowrap", "rowspan", "scope", "width",
        ],
    ),
    ("tr", &["bgcolor", "height"]),
];

/// Style properties; none of them takes an address or leaves its element.
const PROPERTIES: [&str; 58] = [
    "background-color",
    "border",
    "border-bottom",
    "border-bottom-color",
    "border-bottom-style",
    "border-bottom-width",
    "border-collapse",
    "border-color",
    "border-left",
    "border-left-color",
    "border-left-style",
    "border-left-width",
    "border-radius",
    "border-right",
    "border-right-color",
    "border-right-style",
    "border-right-width",
    "border-spacing",
    "border-style",
    "border-top",
    "border-top-color",
    "border-top-style",
    "border-top-width",
    "border-width",
    "clear",
    "color",
    "direction",
    "display",
    "float",
    "font",
    "font-family",
    "font-size",
    "font-style",
    "font-variant",
    "font-weight",
    "height",
    "letter-spacing",
    "line-height",
    "list-style-type",
    "margin",
    "margin-bottom",
    "margin-left",
    "margin-right",
    "margin-top",
    "max-width",
    "min-width",
    "padding",
    "padding-bottom",
    "padding-left",
    "padding-right",
    "padding-top",
    "text-align",
    "text-decoration",
    "text-indent",
    "text-transform",
    "vertical-align",
    "white-space",
    "width",
];

/// What is around the HTML. Letters are made for paper that is white.
const BEFORE: &str = "<!DOCTYPE html>\n<html><head><meta charset=\"utf-8\">\
    <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"><title>Message</title>\
    <style>html{background:#fff;color:#111;color-scheme:light;font:1rem/1.5 system-ui,sans-serif;\
    overflow-wrap:anywhere}body{margin:1rem}img{max-width:100%;height:auto}pre{white-space:pre-wrap}\
    table{max-width:100%}</style></head><body>\n";
const AFTER: &str = "\n</body></html>\n";

/// The policy of a frame with the HTML in it, as the header `Content-Security-Policy` has it.
pub fn policy(remote: bool) -> &'static str {
    match remote {
        false => {
            "default-src 'none'; style-src 'unsafe-inline'; img-src data:; form-action 'none'; base-uri 'none'; \
             frame-ancestors 'self'; sandbox allow-popups allow-popups-to-escape-sandbox"
        }
        true => {
            "default-src 'none'; style-src 'unsafe-inline'; img-src data: https: http:; form-action 'none'; base-uri 'none'; \
             frame-ancestors 'self'; sandbox allow-popups allow-popups-to-escape-sandbox"
        }
    }
}

/// Pictures that came with a message, by their Content-ID, as `data:` addresses.
#[derive(Debug, Default)]
pub struct Pictures {
    by_id: HashMap<String, String>,
    bytes: usize,
}

impl Pictures {
    /// Takes a picture in, as long as there is room.
    pub fn add(&mut self, id: &str, kind: &str, bytes: &[u8]) {
        if self.bytes + bytes.len() <= MOST_PICTURES && !self.by_id.contains_key(id) {
            self.bytes += bytes.len();
            let data = format!("data:{kind};base64,{}", Base64::encode_string(bytes));
            self.by_id.insert(id.to_owned(), data);
        }
    }
}

/// A whole document with the HTML of a message in it, harmless. `remote`: with pictures from elsewhere.
pub fn clean(html: &str, remote: bool, pictures: Pictures) -> String {
    let shown = AtomicUsize::new(0);
    let filter = move |element: &str, attribute: &str, value: &str| match (element, attribute) {
        ("img", "src") => source(value, remote, &pictures, &shown),
        (_, "style") => Some(plain_style(value)),
        (_, "href") => is_link(value).then(|| value.to_owned()),
        _ => Some(value.to_owned()),
    };
    let clean = || {
        let mut builder = Builder::empty();
        builder
            .tags(ELEMENTS.into())
            .clean_content_tags(EMPTIED.into())
            .generic_attributes(ATTRIBUTES.into())
            .tag_attributes(own_attributes())
            .filter_style_properties(PROPERTIES.into())
            .url_schemes(["cid", "data", "http", "https", "mailto"].into())
            .url_relative(UrlRelative::Deny)
            .link_rel(Some("noopener noreferrer nofollow"))
            .set_tag_attribute_value("a", "target", "_blank")
            .attribute_filter(move |element, attribute, value| {
                filter(element, attribute, value).map(Cow::Owned)
            });
        builder.clean(&tidied(html).html).to_string()
    };
    let body = fault::contained("the HTML of a message", clean).unwrap_or_else(|| {
        // Its text is shown instead.
        format!("<pre>{}</pre>", escaped(&as_text(html)))
    });
    format!("{BEFORE}{body}{AFTER}")
}

/// Whether something of HTML is not shown because nothing says where it ends.
pub fn is_cut(html: &str) -> bool {
    tidied(html).is_cut
}

fn tidied(html: &str) -> Tidied {
    tidy(html, &keeps)
}

pub(super) fn keeps(element: &str) -> bool {
    ELEMENTS.contains(&element)
}

fn own_attributes() -> HashMap<&'static str, HashSet<&'static str>> {
    let own = OWN_ATTRIBUTES.into_iter();
    own.map(|(element, own)| (element, own.iter().copied().collect()))
        .collect()
}

/// Where a picture comes from; `None`: it is left out.
fn source(value: &str, remote: bool, pictures: &Pictures, shown: &AtomicUsize) -> Option<String> {
    let value = value.trim();
    let begins = |with: &str| {
        let start = value.get(..with.len());
        start.is_some_and(|start| start.eq_ignore_ascii_case(with))
    };
    if begins("https:") || begins("http:") {
        return remote.then(|| value.to_owned());
    }
    let data = if begins("cid:") {
        let id = percent_encoding::percent_decode_str(value.get(4..)?).decode_utf8_lossy();
        pictures.by_id.get(id.as_ref())?.as_str()
    } else {
        let kinds = ["png", "jpeg", "jpg", "gif", "webp"];
        let is = |kind: &str| begins(&format!("data:image/{kind};base64,"));
        kinds.into_iter().any(is).then_some(value)?
    };
    let before = shown.fetch_add(data.len(), Ordering::Relaxed);
    (before + data.len() <= 2 * MOST_PICTURES).then(|| data.to_owned())
}

/// Of a style what has no function in it but that of a colour.
fn plain_style(style: &str) -> String {
    let is_plain = |part: &&str| {
        let mut functions = part.split('(');
        functions.next_back();
        functions.all(|before| before.ends_with("rgb") || before.ends_with("rgba"))
    };
    let parts: Vec<&str> = style.split(';').filter(is_plain).collect();
    parts.join(";")
}

fn is_link(value: &str) -> bool {
    let value = value.trim_start();
    ["http://", "https://", "mailto:"].iter().any(|scheme| {
        let begins = value.get(..scheme.len());
        begins.is_some_and(|begins| begins.eq_ignore_ascii_case(scheme))
    })
}

/// Whether HTML has a picture that would be fetched from elsewhere.
pub fn has_remote(html: &str) -> bool {
    let lower = html.to_ascii_lowercase();
    let mut rest = lower.as_str();
    while let Some(at) = rest.find("<img") {
        rest = rest.get(at + 4..).unwrap_or_default();
        let (tag, after) = rest.split_at(rest.find('>').unwrap_or(rest.len()));
        if tag.contains("http:") || tag.contains("https:") {
            return true;
        }
        rest = after;
    }
    false
}

/// The text of HTML, for those who rather read that.
pub fn as_text(html: &str) -> String {
    static ENDS: LazyLock<[memmem::Finder<'static>; 9]> = LazyLock::new(|| {
        [
            "</div",
            "</tr",
            "</li",
            "</h1",
            "</h2",
            "</h3",
            "</h4",
            "</table",
            "</blockquote",
        ]
        .map(memmem::Finder::new)
    });
    let lower = html.to_ascii_lowercase();
    let mut ends: Vec<usize> = Vec::new();
    for finder in ENDS.iter() {
        ends.extend(finder.find_iter(lower.as_bytes()));
    }
    ends.sort_unstable();
    let mut lines = String::with_capacity(html.len() + 4 * ends.len());
    let mut done = 0;
    for end in ends {
        lines.push_str(html.get(done..end).unwrap_or_default());
        lines.push_str("<br>");
        done = end;
    }
    lines.push_str(html.get(done..).unwrap_or_default());
    let text = || mail_parser::decoders::html::html_to_text(&lines);
    fault::contained("the HTML of a message", text).unwrap_or_default()
}
