//! Style, script and pictures: part of the program, at addresses that change with what they hold.

use super::Shared;
use super::answer::Refusal;
use axum::Router;
use axum::extract::Path;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use sha2::{Digest, Sha256};
use std::sync::LazyLock;

struct Asset {
    name: &'static str,
    kind: &'static str,
    bytes: &'static [u8],
}

const ASSETS: &[Asset] = &[
    Asset {
        name: "style.css",
        kind: "text/css; charset=utf-8",
        bytes: include_bytes!("assets/style.css"),
    },
    Asset {
        name: "choose.js",
        kind: "text/javascript; charset=utf-8",
        bytes: include_bytes!("assets/choose.js"),
    },
    Asset {
        name: "icon.svg",
        kind: "image/svg+xml",
        bytes: include_bytes!("assets/icon.svg"),
    },
];

/// `<digest>-<name>` of each.
static NAMES: LazyLock<Vec<String>> = LazyLock::new(|| {
    let name = |asset: &Asset| {
        let digest = Sha256::digest(asset.bytes);
        let digest: String = digest.iter().take(6).map(|b| format!("{b:02x}")).collect();
        format!("{digest}-{}", asset.name)
    };
    ASSETS.iter().map(name).collect()
});

pub(super) fn routes() -> Router<Shared> {
    Router::new().route("/assets/{name}", get(asset))
}

/// Where an asset is.
pub(super) fn address(name: &str) -> String {
    let found = ASSETS.iter().position(|asset| asset.name == name);
    let hashed = found.and_then(|at| NAMES.get(at));
    format!("/assets/{}", hashed.map_or(name, String::as_str))
}

async fn asset(Path(name): Path<String>) -> Result<Response, Refusal> {
    let at = NAMES.iter().position(|hashed| *hashed == name);
    let asset = at.and_then(|at| ASSETS.get(at)).ok_or(Refusal::NotFound)?;
    let headers = [
        (header::CONTENT_TYPE, asset.kind),
        (header::CACHE_CONTROL, "public, max-age=31536000, immutable"),
    ];
    Ok((headers, asset.bytes).into_response())
}
