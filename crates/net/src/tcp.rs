//! TCP.

use crate::transport::{AnyLink, Socket, Transport};
use futures::FutureExt;
use futures::future::BoxFuture;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use tokio::net::{TcpListener, TcpStream};

/// Connections over TCP.
#[derive(Debug, Clone, Copy, Default)]
pub struct Tcp;

impl Transport for Tcp {
    fn connect<'a>(&'a self, address: &'a str) -> BoxFuture<'a, io::Result<AnyLink>> {
        async move { undelayed(TcpStream::connect(address).await?) }.boxed()
    }

    fn listen(&self, address: SocketAddr) -> BoxFuture<'_, io::Result<Box<dyn Socket>>> {
        async move { Ok(Box::new(TcpListener::bind(address).await?) as Box<dyn Socket>) }.boxed()
    }

    fn free_address(&self) -> io::Result<SocketAddr> {
        std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()
    }
}

impl Socket for TcpListener {
    fn address(&self) -> io::Result<SocketAddr> {
        self.local_addr()
    }

    fn accept(&self) -> BoxFuture<'_, io::Result<(AnyLink, SocketAddr)>> {
        async move {
            let (stream, from) = TcpListener::accept(self).await?;
            Ok((undelayed(stream)?, from))
        }
        .boxed()
    }
}

/// A question is one small write; held back by Nagle's algorithm it would cost another round trip.
fn undelayed(stream: TcpStream) -> io::Result<AnyLink> {
    stream.set_nodelay(true)?;
    Ok(AnyLink::new(stream))
}
