//! What the interface tells of the node itself: its health, and what happens.

use super::network::{served, served_on};
use super::raw::{ask, body, status};
use crate::support::rig::Rig;
use commonwork::api::form::{BitcoindForm, BitcoindsForm, EventForm, Level, TemplateForm};
use commonwork::api::health::{BitcoindFacts, Facts};
use std::net::SocketAddr;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

#[tokio::test]
async fn health_is_told_in_words() {
    let mut rig = Rig::new();
    rig.block(1);
    let served = served_on(rig).await;
    let (client, facts) = (&served.client, &served.facts);
    *facts.lock().expect("whole") = Facts {
        serving: true,
        miners: 1,
        bitcoinds: vec![BitcoindFacts {
            name: "one".into(),
            template_height: None,
            error: Some("it is away".into()),
        }],
        disk_free_bytes: Some(1),
        ..Facts::default()
    };
    let health = client.health().await.expect("an answer");
    assert!(!health.healthy);
    let told: Vec<_> = health.items.iter().map(|item| (item.level, item.id.as_str())).collect();
    // The made-up chain's newest block is years old.
    let wanted = [
        (Level::Alarm, "disk-full"),
        (Level::Warning, "bitcoind-failing"),
        (Level::Warning, "no-share-blocks"),
        (Level::Notice, "offline"),
    ];
    assert_eq!(told, wanted);
    assert_eq!(health.items[1].says, "it is away");

    let answer = ask(client.address(), "GET /v1/bitcoinds", &[]).await;
    let told: BitcoindsForm = serde_json::from_str(body(&answer)).expect("Bitcoin's side");
    let one = BitcoindForm { name: "one".into(), template_height: None, error: Some("it is away".into()) };
    assert_eq!(told.bitcoinds, [one]);
    assert_eq!(told.template, Some(TemplateForm { bitcoin_height: 777, satoshis: 5_000_012_345 }));
    assert_eq!((told.silent_seconds, told.clock_ahead_seconds), (None, None));
}

/// A listener to events, and the run that they are of.
struct Stream(BufReader<TcpStream>, String);

impl Stream {
    async fn open(address: SocketAddr, headers: &str) -> Self {
        let mut stream = TcpStream::connect(address).await.expect("connected");
        let request = format!("GET /v1/events HTTP/1.1\r\nHost: localhost\r\n{headers}\r\n");
        stream.write_all(request.as_bytes()).await.expect("sent");
        let mut stream = Self(BufReader::new(stream), String::new());
        assert!(stream.line().await.starts_with("HTTP/1.1 200"));
        while !stream.line().await.is_empty() {}
        stream
    }

    async fn line(&mut self) -> String {
        let mut line = String::new();
        self.0.read_line(&mut line).await.expect("a line");
        line.trim_end().to_owned()
    }

    /// The next event with its number.
    async fn next(&mut self) -> (u64, EventForm) {
        let (mut number, mut name) = (0, String::new());
        loop {
            let line = self.line().await;
            if let Some(id) = line.strip_prefix("id: ") {
                let (run, event) = id.split_once('-').expect("a run and a number");
                number = event.parse().expect("a number");
                run.clone_into(&mut self.1);
            } else if let Some(event) = line.strip_prefix("event: ") {
                name = event.to_owned();
            } else if let Some(data) = line.strip_prefix("data: ") {
                let event: EventForm = serde_json::from_str(data).expect("an event");
                assert_eq!(event.name(), name);
                return (number, event);
            }
        }
    }
}

fn reorganised(depth: u32) -> EventForm {
    let from = commonwork::api::form::Text(sharechain::share::ShareId([7; 32]));
    EventForm::Reorganised { from, depth }
}

#[tokio::test]
async fn events_are_told_and_a_slow_listener_learns_how_many_it_missed() {
    let served = served().await;
    let (client, events) = (&served.client, &served.events);
    let mut stream = Stream::open(client.address(), "").await;
    events.tell(reorganised(1));
    assert_eq!(stream.next().await, (1, reorganised(1)));
    // All at once, so that the server cannot follow.
    const MANY: u64 = 5_000;
    (2..=MANY).for_each(|depth| events.tell(reorganised(u32::try_from(depth).expect("small"))));
    let (mut last, mut missed) = (1, 0);
    while last < MANY {
        match stream.next().await {
            (_, EventForm::Missed { events, restarted: false }) => {
                missed += events;
                last += events;
            }
            (number, event) => {
                assert_eq!((number, event), (last + 1, reorganised(u32::try_from(last + 1).expect("small"))));
                last = number;
            }
        }
    }
    assert!(missed > 0);
    // Whoever comes back says what it saw last.
    let last = |run: &str, number: u64| format!("Last-Event-ID: {run}-{number}\r\n");
    let mut again = Stream::open(client.address(), &last(&stream.1, 4_990)).await;
    assert_eq!(again.next().await.1, EventForm::Missed { events: 10, restarted: false });
    events.tell(reorganised(9));
    assert_eq!(again.next().await, (MANY + 1, reorganised(9)));
    // Who saw all of them is told of none.
    let mut level = Stream::open(client.address(), &last(&stream.1, MANY + 1)).await;
    events.tell(reorganised(8));
    assert_eq!(level.next().await, (MANY + 2, reorganised(8)));
}

#[tokio::test]
async fn who_comes_back_after_the_nodes_start_learns_that_it_missed_something() {
    let (before, after) = (served().await, served().await);
    let mut stream = Stream::open(before.client.address(), "").await;
    before.events.tell(reorganised(1));
    assert_eq!(stream.next().await.0, 1);
    let last = format!("Last-Event-ID: {}-1\r\n", stream.1);
    let mut again = Stream::open(after.client.address(), &last).await;
    assert_eq!(again.next().await, (0, EventForm::Missed { events: 0, restarted: true }));
    (2..=4).for_each(|depth| after.events.tell(reorganised(depth)));
    assert_eq!(again.next().await, (1, reorganised(2)));
    let mut late = Stream::open(after.client.address(), &last).await;
    assert_eq!(late.next().await, (3, EventForm::Missed { events: 3, restarted: true }));
    // Its id is of this run, so that it is not told the same again.
    let last = format!("Last-Event-ID: {}-3\r\n", late.1);
    let mut later = Stream::open(after.client.address(), &last).await;
    after.events.tell(reorganised(5));
    assert_eq!(later.next().await, (4, reorganised(5)));
}

#[tokio::test]
async fn listeners_cannot_take_all_places() {
    let served = served().await;
    let client = &served.client;
    let mut streams = Vec::new();
    for _ in 0..8 {
        streams.push(Stream::open(client.address(), "").await);
    }
    let answer = ask(client.address(), "GET /v1/events", &[]).await;
    assert_eq!(status(&answer), Some(503), "{answer}");
    assert!(body(&answer).contains("too many listen"), "{answer}");
    client.tip().await.expect("others are answered");
    drop(streams.pop());
    // The server notices a moment later.
    while status(&ask_head(client.address()).await) != Some(200) {
        tokio::task::yield_now().await;
    }
}

/// The first line of the answer to a listener.
async fn ask_head(address: SocketAddr) -> String {
    let mut stream = TcpStream::connect(address).await.expect("connected");
    stream.write_all(b"GET /v1/events HTTP/1.1\r\nHost: localhost\r\n\r\n").await.expect("sent");
    let mut line = String::new();
    BufReader::new(stream).read_line(&mut line).await.expect("a line");
    line
}
