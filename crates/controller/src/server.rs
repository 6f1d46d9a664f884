//! Starts the parts of the controller and stops them in order.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use anyhow::Context;
use muster_core::{Cluster, Outcome};
use muster_model::config::ClusterConfig;
use muster_model::ids::Identity;
use muster_model::planning::PlanView;
use muster_proto::agent_link_server::AgentLinkServer;
use muster_proto::controller_server::ControllerServer;
use muster_sched::Planner;
use muster_store::{History, SqliteHistory, SqliteStore, Store};
use tokio::net::{TcpListener, TcpStream, UnixListener};
use tokio::sync::{mpsc, watch};
use tokio_stream::wrappers::{TcpListenerStream, UnixListenerStream};
use tokio_stream::{Stream, StreamExt};
use tonic::service::Routes;
use tonic::transport::Server;
use tracing::info;

use crate::agents::LinkService;
use crate::api::{ApiService, ReadConfig};
use crate::blobs::Blobs;
use crate::clock;
use crate::committer;
use crate::dispatch::Dispatch;
use crate::hooks;
use crate::http;
use crate::identity::Identities;
use crate::inbox::{INBOX_SIZE, Inbox};
use crate::mail;
use crate::pace::Pace;
use crate::planner;
use crate::published::Published;
use crate::sequencer::Sequencer;
use crate::statistics::Meters;

/// Largest message taken from a client or an agent.
const MESSAGE_SIZE_MAX: usize = 64 << 20;

/// What a controller is started with.
#[derive(Debug)]
pub struct ControllerOptions {
    /// The cluster.
    pub config: ClusterConfig,
    /// Directory of the database, locked by one controller at a time.
    pub state_directory: PathBuf,
    /// Local socket for clients.
    pub socket: PathBuf,
    /// Address for agents.
    pub listen: String,
    /// Secret that agents must know.
    pub agent_token: String,
    /// Name of this host, as shown by `scontrol ping`.
    pub host: String,
    /// How the configuration is read again.
    pub read_config: ReadConfig,
    /// How much the planner works.
    pub pace: Pace,
}

/// Runs a controller until SIGTERM or SIGINT, then makes everything durable and returns.
///
/// # Errors
/// When the state cannot be read, or a socket cannot be opened: with the path or address, and why.
pub async fn run(options: ControllerOptions) -> anyhow::Result<()> {
    let (store, history, sequence, cluster, first) = open_state(&options)?;
    let published = Published::new(cluster.read_view());
    let (hook_sender, hook_receiver) = mpsc::unbounded_channel();
    let (mail_sender, mail_receiver) = mpsc::unbounded_channel();
    let dispatch = Dispatch { hooks: Some(hook_sender), mails: Some(mail_sender), ..Dispatch::default() };
    let (inbox, inbox_receiver) = mpsc::channel(INBOX_SIZE);
    let (plan_sender, plan_receiver) = mpsc::channel(1);
    let (batch_sender, batch_receiver) = mpsc::channel(committer::QUEUE_SIZE);

    let (stop_sender, stop) = watch::channel(false);
    let meters = Meters::new();
    let batches = batch_sender.downgrade();
    let sequencer =
        Sequencer { cluster, inbox: inbox_receiver, committer: batch_sender, planner: plan_sender, first, stop };
    let committing =
        committer::run(store, sequence, batch_receiver, published.clone(), dispatch.clone(), meters.clone());
    let threads = [spawn_thread("sequencer", sequencer.run())?, spawn_thread("committer", committing)?];
    spawn_planner(plan_receiver, &inbox, &meters, &options.pace)?;

    tokio::spawn(mail::run(mail_receiver, published.clone()));
    tokio::spawn(hooks::run(hook_receiver, inbox.clone(), published.clone()));

    let host: Arc<str> = options.host.as_str().into();
    let blobs = Arc::new(Blobs::new(history.clone()));
    let api = ApiService {
        inbox: inbox.clone(),
        dispatch: dispatch.clone(),
        published: published.clone(),
        blobs: blobs.clone(),
        history,
        identities: Identities::default(),
        adviser: Arc::new(Mutex::new(Planner::new())),
        explainer: Arc::new(Mutex::new(Planner::new())),
        read_config: options.read_config.clone(),
        host: host.clone(),
        meters: meters.clone(),
        batches,
        started: clock::now(),
    };
    let token = options.agent_token.as_str().into();
    let port = options.listen.rsplit_once(':').and_then(|(_, port)| port.parse().ok()).unwrap_or(0);
    let (inbox_of_agents, sessions) = (inbox.clone(), dispatch.sessions.clone());
    // Agents run as root, and have no other name on the network.
    let agents_user = Identity { uid: 0, gid: 0, user: "root".into(), group: "root".into() };
    tokio::spawn(api.clone().reconfigure_on_hangup(agents_user.clone()));
    let names = Arc::default();
    let link = LinkService {
        inbox: inbox_of_agents,
        sessions,
        published,
        blobs,
        token,
        host,
        port,
        meters,
        agents_user,
        names,
    };
    drop(inbox);
    let served = serve(&options, api, link).await;
    // First the sequencer ends, then the committer, when it has made durable what it was handed.
    stop_sender.send_replace(true);
    tokio::task::spawn_blocking(move || threads.into_iter().for_each(|thread| drop(thread.join()))).await?;
    served?;
    info!("stopped; everything is durable");
    Ok(())
}

/// Starts the threads of the planner. They are not waited for at the end: a pass may be long, and its plan would come to
/// nobody.
fn spawn_planner(views: mpsc::Receiver<PlanView>, inbox: &Inbox, meters: &Meters, pace: &Pace) -> anyhow::Result<()> {
    // One planner goes to and fro.
    let (long_passes, wanted) = mpsc::channel(1);
    let (done, finished) = mpsc::channel(1);
    let (inbox, meters, pace) = (inbox.clone(), meters.clone(), pace.clone());
    let ends = planner::Ends { views, inbox, long_passes, finished, meters, pace };
    drop(spawn_thread("planner", planner::run(ends))?);
    drop(spawn_thread("planner-long", planner::run_long_passes(wanted, done))?);
    Ok(())
}

type State = (Box<dyn Store>, Arc<dyn History>, muster_model::ids::CommitSequence, Cluster, Outcome);

fn open_state(options: &ControllerOptions) -> anyhow::Result<State> {
    let mut store = SqliteStore::open(&options.state_directory)?;
    let history: Arc<dyn History> = Arc::new(SqliteHistory::open(&options.state_directory)?);
    let loaded = store.load()?;
    let (jobs, sequence) = (loaded.state.jobs.len(), loaded.sequence);
    let mut first = Outcome::default();
    let mut config = options.config.clone();
    config.zone = clock::zone();
    let cluster = Cluster::restore(config, loaded.state, clock::now(), &mut first);
    info!(jobs, sequence = sequence.0, "state loaded from {}", options.state_directory.display());
    Ok((Box::new(store), history, sequence, cluster, first))
}

/// A thread with a small reactor of its own, so that nothing else can take its turn.
fn spawn_thread<F>(name: &str, work: F) -> anyhow::Result<JoinHandle<()>>
where
    F: Future<Output = ()> + Send + 'static,
{
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build()?;
    let thread = std::thread::Builder::new().name(name.to_owned());
    thread.spawn(move || runtime.block_on(work)).with_context(|| format!("cannot start the {name} thread"))
}

async fn serve(options: &ControllerOptions, api: ApiService, link: LinkService) -> anyhow::Result<()> {
    let local = open_socket(&options.socket)?;
    let remote = TcpListener::bind(&options.listen).await.with_context(|| {
        format!("cannot listen for agents at {}; is another controller running there?", options.listen)
    })?;
    info!(socket = %options.socket.display(), agents = %remote.local_addr()?, pid = std::process::id(), "controller is up");
    let stop = stop_signal()?;
    let stopped = |mut stop: watch::Receiver<bool>| async move { drop(stop.wait_for(|stop| *stop).await) };
    let pages = http::router(api.clone());
    let api = ControllerServer::new(api)
        .max_decoding_message_size(MESSAGE_SIZE_MAX)
        .max_encoding_message_size(MESSAGE_SIZE_MAX);
    let local_routes = Routes::from(pages.merge(Routes::new(api).into_axum_router().reset_fallback()));
    let link = AgentLinkServer::new(link).max_decoding_message_size(MESSAGE_SIZE_MAX);
    let local = Server::builder()
        .initial_connection_window_size(8 << 20)
        .initial_stream_window_size(4 << 20)
        .accept_http1(true)
        .add_routes(local_routes)
        .serve_with_incoming_shutdown(UnixListenerStream::new(local), stopped(stop.clone()));
    let remote = Server::builder()
        .http2_keepalive_interval(Some(std::time::Duration::from_secs(20)))
        .add_service(link)
        .serve_with_incoming_shutdown(prompt(remote), stopped(stop.clone()));
    // Long streams (agents, watchers) end by themselves only when the other side goes; they are cut here.
    tokio::select! {
        result = async { tokio::try_join!(local, remote) } => drop(result?),
        () = async { stopped(stop.clone()).await; tokio::time::sleep(std::time::Duration::from_millis(300)).await } => {}
    }
    drop(std::fs::remove_file(&options.socket));
    Ok(())
}

/// Connections of agents that send each message at once. Otherwise a launch waits up to 40 ms for the answer to the message
/// before it, since both sides hold back for each other.
fn prompt(listener: TcpListener) -> impl Stream<Item = std::io::Result<TcpStream>> {
    TcpListenerStream::new(listener).map(|connection| connection.inspect(|stream| drop(stream.set_nodelay(true))))
}

/// The socket that every local user may connect to; the kernel tells who they are.
fn open_socket(path: &Path) -> anyhow::Result<UnixListener> {
    drop(std::fs::remove_file(path));
    let listener = UnixListener::bind(path).with_context(|| format!("cannot open the socket {}", path.display()))?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o666))
        .with_context(|| format!("cannot open the socket {} to all users", path.display()))?;
    Ok(listener)
}

/// Turns true when the process is asked to stop.
fn stop_signal() -> anyhow::Result<watch::Receiver<bool>> {
    use tokio::signal::unix::{SignalKind, signal};
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let (sender, receiver) = watch::channel(false);
    tokio::spawn(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        info!("asked to stop");
        sender.send_replace(true);
    });
    Ok(receiver)
}
