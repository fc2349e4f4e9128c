//! HTTP/1.1 with as little as possible: whole requests out, status and body back.

use super::{LoadError, LoadOptions};
use rustls::pki_types::ServerName;
use std::net::SocketAddr;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// Responses larger than this are refused.
const MAX_RESPONSE_BYTES: usize = 4 * 1024 * 1024;

/// A kept-alive connection.
#[derive(Debug)]
pub struct RawConnection<S> {
    stream: S,
    received: Vec<u8>,
}

impl RawConnection<TlsStream<TcpStream>> {
    /// Opens TLS to the server of the options.
    ///
    /// # Errors
    /// [`LoadError::Connection`].
    pub async fn open_tls(options: &LoadOptions) -> Result<Self, LoadError> {
        let failed = |cause| LoadError::Connection { target: options.server.to_string(), cause };
        let name =
            ServerName::try_from(options.server_name.clone()).map_err(|error| failed(std::io::Error::other(error)))?;
        let tcp = connect(options.server).await?;
        let stream = TlsConnector::from(options.tls.clone()).connect(name, tcp).await.map_err(failed)?;
        Ok(Self::new(stream))
    }

    /// Whether the session was resumed, as TLS says.
    #[must_use]
    pub fn handshake_kind(&self) -> Option<rustls::HandshakeKind> {
        self.stream.get_ref().1.handshake_kind()
    }
}

impl RawConnection<TcpStream> {
    /// Opens plain TCP.
    ///
    /// # Errors
    /// [`LoadError::Connection`].
    pub async fn open_plain(address: SocketAddr) -> Result<Self, LoadError> {
        Ok(Self::new(connect(address).await?))
    }
}

async fn connect(address: SocketAddr) -> Result<TcpStream, LoadError> {
    let failed = |cause| LoadError::Connection { target: address.to_string(), cause };
    let tcp = TcpStream::connect(address).await.map_err(failed)?;
    tcp.set_nodelay(true).map_err(failed)?;
    Ok(tcp)
}

impl<S: AsyncRead + AsyncWrite + Unpin> RawConnection<S> {
    /// Over an open stream.
    pub fn new(stream: S) -> Self {
        Self { stream, received: Vec::with_capacity(4096) }
    }

    /// Sends a whole request and gives status and body of the response.
    ///
    /// # Errors
    /// [`LoadError`]; the connection can't be used any more then.
    pub async fn exchange(&mut self, request: &[u8]) -> Result<(u16, &[u8]), LoadError> {
        let failed = |cause| LoadError::Connection { target: "the open connection".to_owned(), cause };
        self.received.clear();
        self.stream.write_all(request).await.map_err(failed)?;
        self.stream.flush().await.map_err(failed)?;
        let (status, body) = loop {
            if let Some(head) = Head::read(&self.received)? {
                break (head.status, head.body..head.body + head.length);
            }
            self.more().await?;
        };
        while self.received.len() < body.end {
            self.more().await?;
        }
        Ok((status, self.received.get(body).unwrap_or_default()))
    }

    async fn more(&mut self) -> Result<(), LoadError> {
        if self.received.len() > MAX_RESPONSE_BYTES {
            return Err(LoadError::Response { what: "too long" });
        }
        match self.stream.read_buf(&mut self.received).await {
            Ok(0) => Err(LoadError::Response { what: "the server hung up" }),
            Ok(_) => Ok(()),
            Err(cause) => Err(LoadError::Connection { target: "the open connection".to_owned(), cause }),
        }
    }
}

struct Head {
    status: u16,
    /// Where the body starts.
    body: usize,
    length: usize,
}

impl Head {
    /// `None` while the empty line is not there yet.
    fn read(received: &[u8]) -> Result<Option<Self>, LoadError> {
        let wrong = |what| LoadError::Response { what };
        let Some(end) = received.windows(4).position(|window| window == b"\r\n\r\n") else { return Ok(None) };
        let text = received.get(..end).and_then(|head| std::str::from_utf8(head).ok()).ok_or(wrong("no text"))?;
        let mut lines = text.split("\r\n");
        let status = lines
            .next()
            .and_then(|line| line.strip_prefix("HTTP/1.1 ")?.get(..3)?.parse().ok())
            .ok_or(wrong("no status line"))?;
        let length = lines
            .filter_map(|line| line.split_once(':'))
            .find(|(name, _)| name.eq_ignore_ascii_case("content-length"))
            .map(|(_, value)| value.trim().parse().map_err(|_| wrong("a length that is no number")))
            .transpose()?;
        match length {
            Some(length) if length > MAX_RESPONSE_BYTES => Err(wrong("too long")),
            Some(length) => Ok(Some(Self { status, body: end + 4, length })),
            None if status == 204 => Ok(Some(Self { status, body: end + 4, length: 0 })),
            None => Err(wrong("no content-length")),
        }
    }
}

/// A POST as octets.
pub(super) fn post(path: &str, host: &str, headers: &[(&str, &str)], body: &[u8]) -> Vec<u8> {
    request("POST", path, host, headers, body)
}

/// A request as octets.
pub(super) fn request(method: &str, path: &str, host: &str, headers: &[(&str, &str)], body: &[u8]) -> Vec<u8> {
    let mut octets = format!("{method} {path} HTTP/1.1\r\nhost: {host}\r\n").into_bytes();
    for (name, value) in headers {
        octets.extend_from_slice(format!("{name}: {value}\r\n").as_bytes());
    }
    octets.extend_from_slice(format!("content-length: {}\r\n\r\n", body.len()).as_bytes());
    octets.extend_from_slice(body);
    octets
}

#[cfg(test)]
mod tests {
    use super::Head;

    #[test]
    fn heads_are_read_when_they_are_whole() {
        let whole = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nx: y\r\n\r\nhello";
        assert!(matches!(Head::read(whole.get(..30).unwrap_or_default()), Ok(None)));
        assert!(matches!(Head::read(whole), Ok(Some(Head { status: 200, body: 44, length: 5 }))));
        assert!(matches!(
            Head::read(b"HTTP/1.1 204 No Content\r\n\r\n"),
            Ok(Some(Head { status: 204, length: 0, .. }))
        ));
        assert!(Head::read(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n").is_err());
        assert!(Head::read(b"nonsense\r\n\r\n").is_err());
    }
}
