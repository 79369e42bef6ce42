//! The client against a server that plays a script: one entry for each connection, and in it one for each request.

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};

use super::*;

/// Takes connections one after the other; on each it answers requests with these texts, then closes it.
async fn server(script: Vec<Vec<String>>) -> JsonRpc {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = listener.local_addr().expect("an address").port();
    tokio::spawn(async move {
        for answers in script {
            let (mut stream, _) = listener.accept().await.expect("a connection");
            for answer in answers {
                read_request(&mut stream).await;
                stream.write_all(answer.as_bytes()).await.expect("a client that reads");
            }
        }
        // From here on connections are made and nothing is said.
        std::future::pending::<()>().await;
    });
    let credentials = Credentials::UserPassword { user: "me".into(), password: "secret".into() };
    let patience = Patience { call: Duration::from_millis(500), ..Patience::default() };
    JsonRpc::new(Endpoint::new("127.0.0.1", port, "/"), credentials, patience)
}

async fn read_request(stream: &mut TcpStream) {
    let mut request = Vec::new();
    loop {
        let mut part = [0; 1_024];
        let read = stream.read(&mut part).await.expect("a request");
        assert_ne!(read, 0, "the client went away");
        request.extend_from_slice(&part[..read]);
        let text = String::from_utf8_lossy(&request);
        let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
        if body.len() == length.expect("a length").parse::<usize>().expect("a number") {
            assert!(head.contains("authorization: Basic bWU6c2VjcmV0"), "{head}");
            return;
        }
    }
}

fn answer(status: &str, body: &str) -> String {
    format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\n\r\n{body}", body.len())
}

fn good(result: u32) -> String {
    answer("200 OK", &format!(r#"{{"result":{result},"error":null,"id":0}}"#))
}

async fn call(rpc: &JsonRpc) -> Result<u32, BackendError> {
    rpc.call("test", json!([])).await
}

#[tokio::test]
async fn connections_are_kept_and_a_closed_one_is_replaced() {
    let rpc = server(vec![vec![good(1), good(2)], vec![good(3)]]).await;
    for number in 1..=3 {
        assert_eq!(call(&rpc).await, Ok(number));
    }
}

#[tokio::test]
async fn kinds_of_trouble_are_told_apart() {
    let error = |code: i64| {
        answer("500 Oops", &format!(r#"{{"result":null,"error":{{"code":{code},"message":"no"}},"id":0}}"#))
    };
    let script = [
        (answer("401 Unauthorized", ""), "Unauthorized"),
        (answer("403 Forbidden", ""), "Unauthorized"),
        (answer("503 Service Unavailable", "Work queue depth exceeded"), "Unreachable"),
        (error(-28), "Syncing"),
        (error(-10), "Syncing"),
        (error(-8), "Rpc"),
        (answer("404 Not Found", ""), "Malformed"),
        (answer("200 OK", "<html>"), "Malformed"),
        (answer("200 OK", r#"{"result":"text","error":null,"id":0}"#), "Malformed"),
        (answer("200 OK", r#"{"result":-1,"error":null,"id":0}"#), "Malformed"),
        ("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{\"result\"".to_owned(), "Unreachable"),
        ("nonsense\r\n\r\n".to_owned(), "Unreachable"),
    ];
    for (answer, kind) in script {
        let rpc = server(vec![vec![answer.clone()]]).await;
        let error = call(&rpc).await.expect_err(&answer);
        assert!(format!("{error:?}").starts_with(kind), "{answer}: {error:?}");
        assert!(!error.to_string().contains("secret"));
    }
}

#[tokio::test]
async fn an_answer_that_never_comes_or_never_ends_is_not_waited_for() {
    let silent = call(&server(vec![vec![String::new()]]).await).await;
    assert!(matches!(silent, Err(BackendError::Unreachable { .. })), "{silent:?}");
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = listener.local_addr().expect("an address").port();
    drop(listener);
    let patience = Patience::default();
    let credentials = Credentials::Cookie("/nowhere/.cookie".into());
    let nobody = JsonRpc::new(Endpoint::new("127.0.0.1", port, "/"), credentials, patience);
    let error = call(&nobody).await.expect_err("no cookie file").to_string();
    assert!(error.contains("/nowhere/.cookie"), "{error}");
}

#[tokio::test]
async fn an_answer_is_read_up_to_the_limit_only() {
    let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", MAX_ANSWER + 2);
    let mut rpc = server(vec![vec![head + &" ".repeat(MAX_ANSWER + 2)]]).await;
    rpc.patience.call = Duration::from_secs(60);
    let error = call(&rpc).await.expect_err("too long");
    assert!(matches!(error, BackendError::Malformed { .. }), "{error:?}");
}

#[tokio::test]
async fn the_answers_of_a_batch_must_be_those_to_its_calls() {
    let item = |id: u32| format!(r#"{{"result":{id},"error":null,"id":{id}}}"#);
    let batch = |ids: &[u32]| {
        let items: Vec<String> = ids.iter().map(|id| item(*id)).collect();
        answer("200 OK", &format!("[{}]", items.join(",")))
    };
    let calls = || [json!([1]), json!([2])].into_iter();
    let rpc =
        server(vec![vec![batch(&[0, 1]), batch(&[1, 0]), batch(&[0]), batch(&[0, 1, 2]), good(1)]]).await;
    let right: Vec<_> = rpc.call_each::<u32>("test", calls()).await.expect("an answer to each");
    assert_eq!(right.into_iter().map(Result::unwrap).collect::<Vec<_>>(), [0, 1]);
    for _ in 0..4 {
        let wrong = rpc.call_each::<u32>("test", calls()).await;
        assert!(matches!(wrong, Err(BackendError::Malformed { .. })), "{wrong:?}");
    }
}
