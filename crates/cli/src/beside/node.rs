//! The node: carries out what other processes are called for.

use super::greeting::{Folder, Greeting, VERSION, Word};
use super::link::Link;
use super::place;
use super::remote::Remote;
use super::wire::{self, Order, Wanted};
use crate::args::Args;
use crate::commands::{self, Context, Home};
use crate::console::Console;
use crate::exit::Exit;
use crate::times::{Times, zone_of_name};
use kappadb::Database;
use std::ffi::OsString;
use std::fs;
use std::io;
use std::os::unix::ffi::OsStringExt;
use std::os::unix::net::UnixStream as Socket;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::thread;
use std::time::Duration;
use tokio::net::{UnixListener, UnixStream};
use tokio::runtime::Handle;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

/// Commands that are carried out at once. Each may hold one of the database's 64 threads for as long as its caller likes.
const COMMANDS: usize = 48;
/// Callers that wait for others to end, and how long.
const WAITING: usize = 256;
const WAIT: Duration = Duration::from_secs(5);
/// For how long a caller may keep back what it wants.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long commands have to end when the node does.
const GRACE: Duration = Duration::from_secs(5);
/// As much as the main thread has, which commands run on elsewhere.
const STACK: usize = 8 << 20;
/// Until the system may have another descriptor.
const PAUSE: Duration = Duration::from_millis(100);

/// Answers in the folder's socket until it is stopped.
pub struct Node {
    hall: Arc<Hall>,
    accepting: Option<JoinHandle<()>>,
}

/// What all callers share.
struct Hall {
    dir: PathBuf,
    folder: Folder,
    database: Database,
    user: u32,
    commands: Arc<Semaphore>,
    links: Mutex<Vec<Weak<Link>>>,
}

impl Node {
    /// Begins to answer. Where there can be no socket that is said, and other commands find the folder in use.
    pub fn start(context: &Context, database: &Database) -> io::Result<Node> {
        let dir = context.dir.clone();
        let hall = Arc::new(Hall {
            folder: Folder::from(&fs::metadata(&dir)?),
            dir,
            database: database.clone(),
            user: rustix::process::geteuid().as_raw(),
            commands: Arc::new(Semaphore::new(COMMANDS)),
            links: Mutex::default(),
        });
        let accepting = match listen(&hall.dir) {
            Ok(listener) => Some(tokio::spawn(hall.clone().accept(listener))),
            Err(error) => {
                let text = format!(
                    "other commands on this folder must wait until this one ends: no socket in it: {error}"
                );
                context.console.warn(&text);
                None
            }
        };
        Ok(Node { hall, accepting })
    }

    /// Ends all commands that are under way: what they have begun to write is whole.
    pub async fn stop(self) {
        let Some(accepting) = self.accepting else { return };
        accepting.abort();
        let _ = accepting.await;
        // The lock is still held, so the socket is nobody else's.
        let _ = place::remove(&self.hall.dir);
        // Who was just taken has its command, or none.
        self.hall.commands.close();
        self.hall.links().drain(..).filter_map(|link| link.upgrade()).for_each(|link| link.close());
        let ended = async {
            while self.hall.commands.available_permits() < COMMANDS {
                sleep(Duration::from_millis(5)).await;
            }
        };
        let _ = timeout(GRACE, ended).await;
    }
}

fn listen(dir: &Path) -> io::Result<UnixListener> {
    let listener = place::listen(dir)?;
    listener.set_nonblocking(true)?;
    UnixListener::from_std(listener)
}

impl Hall {
    fn links(&self) -> std::sync::MutexGuard<'_, Vec<Weak<Link>>> {
        self.links.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn accept(self: Arc<Self>, listener: UnixListener) {
        let waiting = Arc::new(Semaphore::new(WAITING));
        while let Ok(room) = waiting.clone().acquire_owned().await {
            let Ok((socket, _)) = listener.accept().await else {
                sleep(PAUSE).await;
                continue;
            };
            let hall = self.clone();
            tokio::spawn(async move {
                if let Err(error) = hall.meet(socket).await {
                    tracing::debug!(%error, "a command was not carried out");
                }
                drop(room);
            });
        }
    }

    /// Takes a caller, if it is of this user and there is room for it.
    async fn meet(self: Arc<Self>, socket: UnixStream) -> io::Result<()> {
        let is_own = socket.peer_cred()?.uid() == self.user;
        let permit = match is_own {
            true => match timeout(WAIT, self.commands.clone().acquire_owned()).await {
                // It ends: to the caller there is no node.
                Ok(Err(_)) => return Ok(()),
                waited => waited.ok().and_then(Result::ok),
            },
            false => None,
        };
        let word = match (is_own, &permit) {
            (false, _) => Word::Foreign,
            (true, None) => Word::Busy,
            (true, Some(_)) => Word::Welcome,
        };
        let socket = socket.into_std()?;
        socket.set_nonblocking(false)?;
        let (pid, version) = (std::process::id(), VERSION.to_owned());
        Greeting { word, pid, version, folder: self.folder }.send(&socket)?;
        let Some(permit) = permit else { return Ok(()) };
        let runtime = Handle::current();
        let thread = thread::Builder::new().name("kappa-command".to_owned()).stack_size(STACK);
        thread.spawn(move || self.serve(socket, &runtime, permit)).map(drop)
    }

    /// Carries out what one caller wants.
    fn serve(&self, socket: Socket, runtime: &Handle, permit: OwnedSemaphorePermit) {
        let wanted = socket.set_read_timeout(Some(PATIENCE)).and_then(|()| wire::receive::<Wanted>(&socket));
        let Ok(wanted) = wanted.and_then(|wanted| socket.set_read_timeout(None).map(|()| wanted)) else {
            return;
        };
        let link = Arc::new(Link::new(socket));
        let mut links = self.links();
        links.retain(|link| link.strong_count() > 0);
        links.push(Arc::downgrade(&link));
        drop(links);
        thread::scope(|threads| {
            let helper = || thread::Builder::new().name("kappa-caller".to_owned());
            let receiving = helper().spawn_scoped(threads, || link.receive_all());
            let sending = helper().spawn_scoped(threads, || link.send_all());
            // No longer taken: the node ends, or the system gives no more threads.
            if receiving.is_ok() && sending.is_ok() && !self.commands.is_closed() {
                let exit = self.carry_out(wanted, &link, runtime);
                link.order_soon(&Order::End(exit as u8));
            }
            link.finish();
            let _ = sending.map(thread::ScopedJoinHandle::join);
            link.close();
        });
        drop(permit);
    }

    fn carry_out(&self, wanted: Wanted, link: &Arc<Link>, runtime: &Handle) -> Exit {
        let console = Console::new(Arc::new(Remote::new(link.clone(), wanted.terminals)));
        let mut args = match Args::of(wanted.args.into_iter().map(OsString::from_vec)) {
            Ok(args) => args,
            Err(error) => return console.usage(&error),
        };
        let times = Times { utc: args.utc, zone: zone_of_name(wanted.zone.as_deref()) };
        let console = console.with_json(args.json).with_times(times);
        if !args.command.is_for_node() {
            console.error("that is not for a node");
            return Exit::Usage;
        }
        tracing::debug!(command = args.name, "carried out for another process");
        console.hear_panics();
        args.db = OsString::from_vec(wanted.dir).into();
        args.patience = Some(args.patience.unwrap_or(wanted.patience));
        let carried_out = async {
            tokio::select! {
                exit = commands::carry_out(args, console, Home::Node(self.database.clone())) => exit,
                // Nobody is left who wants it.
                () = link.gone() => Exit::Failed,
            }
        };
        catch_unwind(AssertUnwindSafe(|| runtime.block_on(carried_out))).unwrap_or(Exit::Failed)
    }
}
