//! A WebSocket echo server through exactly the server's WebSocket layer, for conformance suites.
//!
//! `cargo run --release --example ws_echo -- ADDR:PORT` sends every text and binary message back,
//! answers pings and closes as RFC 6455 says. Port 0 takes a free one; the first line of output
//! names it.
#![deny(unsafe_code)]

use anyhow::{Context as _, bail};
use futures_lite::{AsyncReadExt as _, AsyncWriteExt as _};
use glommio::LocalExecutorBuilder;
use glommio::net::{TcpListener, TcpStream};
use std::env;
use std::net::{Shutdown, SocketAddr};
use std::time::Duration;

use tutti::http::{Head, Response, Status};
use tutti::ws::{Decoder, Item, Limits, Opcode, encode, handshake};

/// The suites send messages of up to 16 MiB, and 64 MiB is what most servers take by default.
const LIMITS: Limits = Limits { message_bytes: 64 << 20 };

/// How long a peer may say nothing.
const SILENCE_MAX: Duration = Duration::from_secs(60);

/// Bytes that are still read, and thrown away, after our close frame.
const DRAIN_BYTES_MAX: usize = 128 << 20;

fn main() -> anyhow::Result<()> {
    let address = env::args().nth(1).context("usage: ws_echo ADDR:PORT")?;
    let address: SocketAddr = address.parse().with_context(|| format!("bad address {address}"))?;
    LocalExecutorBuilder::default().io_memory(64 << 10).make()?.run(async move {
        let listener = TcpListener::bind(address)?;
        println!("listening on {}", listener.local_addr()?);
        loop {
            let stream = listener.accept().await?;
            glommio::spawn_local(async move {
                if let Err(error) = serve(stream).await {
                    eprintln!("connection failed: {error:#}");
                }
            })
            .detach();
        }
    })
}

async fn serve(mut stream: TcpStream) -> anyhow::Result<()> {
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(SILENCE_MAX))?;
    let mut out = Vec::new();
    let rest = shake_hands(&mut stream, &mut out).await?;
    stream.write_all(&out).await?;
    if let Some(rest) = rest {
        echo(&mut stream, rest).await?;
    }
    close(&mut stream).await
}

/// Reads a request and writes its answer into `out`; `Some` with the bytes behind it when it is an
/// upgrade.
async fn shake_hands(stream: &mut TcpStream, out: &mut Vec<u8>) -> anyhow::Result<Option<Vec<u8>>> {
    let mut bytes = Vec::new();
    let mut chunk = [0; 4096];
    loop {
        let seen = bytes.len();
        let len = stream.read(&mut chunk).await?;
        if len == 0 {
            bail!("closed before the request was complete");
        }
        bytes.extend_from_slice(&chunk[..len]);
        let head = match Head::parse(&bytes, seen) {
            Ok(None) => continue,
            Ok(Some(head)) => head,
            Err(fault) => {
                Response::plain(fault.status()).write(false, out);
                return Ok(None);
            }
        };
        match handshake::upgrade(&head) {
            Ok(Some(upgrade)) => {
                upgrade.accept(out);
                let len = head.len();
                return Ok(Some(bytes.split_off(len)));
            }
            Ok(None) => Response::plain(Status::NotFound).write(head.is_head(), out),
            Err(refusal) => refusal.write(head.is_head(), out),
        }
        return Ok(None);
    }
}

/// Echoes until one side has closed; our own close frame has been written then.
async fn echo(stream: &mut TcpStream, mut first: Vec<u8>) -> anyhow::Result<()> {
    let mut decoder = Decoder::default();
    let mut scratch = vec![0; 64 << 10];
    let mut out = Vec::new();
    let mut input = first.as_mut_slice();
    loop {
        let is_over = reply(&mut decoder, &mut input, &mut out);
        stream.write_all(&out).await?;
        if is_over {
            return Ok(());
        }
        out.clear();
        out.shrink_to(1 << 20);
        let len = stream.read(&mut scratch).await?;
        if len == 0 {
            return Ok(());
        }
        input = &mut scratch[..len];
    }
}

/// Writes what answers `input` into `out`; true when that ends with a close frame.
fn reply(decoder: &mut Decoder, input: &mut &mut [u8], out: &mut Vec<u8>) -> bool {
    loop {
        match decoder.next(&LIMITS, input) {
            Ok(None) => return false,
            Ok(Some(Item::Text(text))) => encode::frame(Opcode::Text, text, out),
            Ok(Some(Item::Binary(bytes))) => encode::frame(Opcode::Binary, bytes, out),
            Ok(Some(Item::Ping(payload))) => encode::pong(payload, out),
            Ok(Some(Item::Pong(_) | Item::Fragment)) => {}
            Ok(Some(Item::Close(status))) => {
                encode::close(status.map(|(code, _)| (code, "")), out);
                return true;
            }
            Err(fault) => {
                encode::close(Some((fault.close_code(), &fault.to_string())), out);
                return true;
            }
        }
    }
}

/// Ends the connection so that what was written last arrives: bytes left unread would make a reset
/// of it.
async fn close(stream: &mut TcpStream) -> anyhow::Result<()> {
    // Fails when the peer is gone already, which is as good.
    if stream.shutdown(Shutdown::Write).await.is_err() {
        return Ok(());
    }
    let mut scratch = vec![0; 16 << 10];
    let mut drained = 0;
    while drained < DRAIN_BYTES_MAX {
        match stream.read(&mut scratch).await {
            Ok(0) | Err(_) => break,
            Ok(len) => drained += len,
        }
    }
    Ok(())
}
