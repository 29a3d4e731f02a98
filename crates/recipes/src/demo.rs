//! A page on this machine to try a model on: one drops or photographs a picture and sees what the model makes of it.
//!
//! Above: the binary, Rust users. Below: `source`, `demo::{answer, connection, request, response}`. Not here: what is seen (`look::inspector`).
//! Only this machine is served. A visitor can send one picture at a time and can name no file. What may be sent, how long it may take and how many
//! may come at once is bounded, and none of them can end the server.

mod answer;
mod connection;
mod request;
mod response;
#[cfg(test)]
mod tests;

use std::io::{self, ErrorKind};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{self, Receiver};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use taper_model::Model;

use crate::error::{Error, Result};
use crate::observer::Observer;
use crate::options::DemoOptions;
use crate::source::ModelSource;
use answer::Desk;

/// Visitors that are listened to at once; one picture is looked at at a time.
const WORKERS: usize = 16;

/// Visitors that wait for one of these; more are sent away.
const WAITING: usize = 32;

/// How long nobody looks whether somebody came or whether to stop.
const PAUSE: Duration = Duration::from_millis(10);

/// A model and the door at which pictures for it arrive.
///
/// # Examples
/// ```
/// use std::io::{Read, Write};
/// use std::net::TcpStream;
/// use std::sync::atomic::{AtomicBool, Ordering};
/// use taper_recipes::{Demo, DemoOptions, Silent};
///
/// let stop = AtomicBool::new(false);
/// let options = DemoOptions { port: 0, ..DemoOptions::new("mobilenetv2_100") };
/// let demo = Demo::open(&options, &stop, &mut Silent)?;
/// std::thread::scope(|scope| {
///     let server = scope.spawn(|| demo.serve(&stop));
///     let mut page = String::new();
///     let mut visitor = TcpStream::connect(demo.address()).unwrap();
///     write!(visitor, "GET / HTTP/1.1\r\nHost: {}\r\n\r\n", demo.address()).unwrap();
///     visitor.read_to_string(&mut page).unwrap();
///     assert!(page.starts_with("HTTP/1.1 200 OK\r\n") && page.contains("<!doctype html>"));
///     stop.store(true, Ordering::Relaxed);
///     server.join().unwrap()
/// })?;
/// # Ok::<(), taper_recipes::Error>(())
/// ```
#[derive(Debug)]
pub struct Demo {
    listener: TcpListener,
    address: SocketAddr,
    model: Model,
    options: DemoOptions,
}

impl Demo {
    /// Loads the model and opens the port, on 127.0.0.1 alone. Tells the observer when weights have to be downloaded.
    ///
    /// # Errors
    /// [`Error::Port`] for one that is taken; whatever keeps a model from being loaded; [`Error::Stopped`].
    pub fn open(
        options: &DemoOptions,
        stop: &AtomicBool,
        observer: &mut dyn Observer,
    ) -> Result<Self> {
        options.check()?;
        let model = ModelSource::resolve(&options.model)?.load(stop, observer)?;
        let taken = |source| Error::Port { port: options.port, source };
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, options.port)).map_err(taken)?;
        listener.set_nonblocking(true).map_err(taken)?;
        let address = listener.local_addr().map_err(taken)?;
        Ok(Self { listener, address, model, options: options.clone() })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What a browser is to open.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}/", self.address)
    }

    /// Answers visitors until `stop` is set.
    ///
    /// # Errors
    /// For a model that cannot be looked into; nothing that a visitor does is one.
    pub fn serve(&self, stop: &AtomicBool) -> Result<()> {
        let desk = Desk::new(&self.model, &self.options, self.address.port())?;
        let (queue, visitors) = mpsc::sync_channel(WORKERS + WAITING);
        let (door, too_many) = mpsc::sync_channel(WAITING);
        let [visitors, too_many] = [visitors, too_many].map(Mutex::new);
        // Those who wait and those who are listened to: the queue does not know how soon its next one is taken.
        let inside = AtomicUsize::new(0);
        thread::scope(|scope| {
            for _ in 0..WORKERS {
                scope.spawn(|| {
                    work(&visitors, stop, |visitor| {
                        connection::serve(visitor, &desk, stop);
                        inside.fetch_sub(1, Ordering::Relaxed);
                    });
                });
            }
            scope.spawn(|| work(&too_many, stop, |visitor| connection::send_away(visitor, stop)));
            while !stop.load(Ordering::Relaxed) {
                match self.listener.accept().and_then(|(visitor, _)| blocking(visitor)) {
                    Ok(visitor) if inside.load(Ordering::Relaxed) < WORKERS + WAITING => {
                        inside.fetch_add(1, Ordering::Relaxed);
                        drop(queue.try_send(visitor)); // has room for all who are inside
                    }
                    // If there are too many even of these, the connection ends without a word.
                    Ok(visitor) => drop(door.try_send(visitor)),
                    // Nobody there, or somebody who has left, or no more handles for now.
                    Err(_) => thread::sleep(PAUSE),
                }
            }
            drop((queue, door)); // so that the workers end
        });
        Ok(())
    }
}

/// On some systems a visitor's socket is as impatient as the one at which he came.
fn blocking(visitor: TcpStream) -> io::Result<TcpStream> {
    match visitor.set_nonblocking(false) {
        Ok(()) => Ok(visitor),
        Err(error) => Err(io::Error::new(ErrorKind::WouldBlock, error)),
    }
}

/// Those who have not been listened to when `stop` is set are left alone.
fn work(visitors: &Mutex<Receiver<TcpStream>>, stop: &AtomicBool, talk: impl Fn(&TcpStream)) {
    loop {
        let next = visitors.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(visitor) = next else { return };
        if !stop.load(Ordering::Relaxed) {
            talk(&visitor);
        }
    }
}
