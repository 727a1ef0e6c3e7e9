//! Clients, and a server that answers them.

use std::{
    io::{self, Read, Write},
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    thread,
};

use steadfast_core::TimeSource;

/// What one client writes at a time.
const CHUNK: usize = 256 * 1024;

/// What clients do.
#[derive(Clone, Copy)]
pub(crate) struct Traffic {
    pub(crate) name: &'static str,
    pub(crate) unit: &'static str,
    kind: Kind,
}

#[derive(Clone, Copy)]
enum Kind {
    /// So many clients send so many bytes each.
    Bulk { clients: usize, bytes: usize },
    /// One client sends a byte and waits for it to come back, so often.
    Echo { times: usize },
}

impl Traffic {
    pub(crate) const ALL: [Self; 3] = [
        Self {
            name: "one stream",
            unit: "MB/s",
            kind: Kind::Bulk { clients: 1, bytes: 512 << 20 },
        },
        Self { name: "64 streams", unit: "MB/s", kind: Kind::Bulk { clients: 64, bytes: 8 << 20 } },
        Self { name: "a byte and back", unit: "/s", kind: Kind::Echo { times: 10_000 } },
    ];

    /// How much of its unit was done in a second.
    pub(crate) fn run(self, address: SocketAddr) -> io::Result<f64> {
        let start = TimeSource::Tokio.now();
        let done = match self.kind {
            Kind::Bulk { clients, bytes } => {
                bulk(address, clients, bytes)?;
                (clients * bytes) as f64 / 1e6
            }
            Kind::Echo { times } => {
                echo(address, times)?;
                times as f64
            }
        };
        Ok(done / TimeSource::Tokio.now().duration_since(start).as_secs_f64())
    }
}

fn bulk(address: SocketAddr, clients: usize, bytes: usize) -> io::Result<()> {
    let send = move || {
        let mut stream = connect(address, b'b')?;
        let chunk = vec![0; CHUNK];
        for _ in 0..bytes / CHUNK {
            stream.write_all(&chunk)?;
        }
        stream.shutdown(Shutdown::Write)?;
        // The server closes when all has arrived.
        expect(stream.read(&mut [0])? == 0)
    };
    let clients: Vec<_> = (0..clients).map(|_| thread::spawn(send)).collect();
    clients.into_iter().try_for_each(|client| client.join().expect("a client does not panic"))
}

fn echo(address: SocketAddr, times: usize) -> io::Result<()> {
    let mut stream = connect(address, b'e')?;
    let mut byte = [7];
    for _ in 0..times {
        stream.write_all(&byte)?;
        stream.read_exact(&mut byte)?;
    }
    expect(byte == [7])
}

fn connect(address: SocketAddr, kind: u8) -> io::Result<TcpStream> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_nodelay(true)?;
    stream.write_all(&[kind])?;
    Ok(stream)
}

fn expect(holds: bool) -> io::Result<()> {
    if holds { Ok(()) } else { Err(io::ErrorKind::InvalidData.into()) }
}

/// A server with a thread for each connection. It ends with the program.
pub(crate) fn serve() -> io::Result<SocketAddr> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            // An error is the client's to see.
            thread::spawn(move || answer(stream));
        }
    });
    Ok(address)
}

fn answer(mut stream: TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut kind = [0];
    stream.read_exact(&mut kind)?;
    let mut buffer = vec![0; CHUNK];
    loop {
        match stream.read(&mut buffer)? {
            0 => return Ok(()),
            read if kind == *b"e" => stream.write_all(&buffer[..read])?,
            _ => {}
        }
    }
}
