//! The page to try a model on, served by the binary.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Command, Stdio};

use crate::taper::{command, taper};

#[test]
fn a_page_is_served_until_ctrl_c_and_its_port_is_refused_to_a_second() {
    let arguments = ["demo", "--model", "mobilenetv2_100", "--threads", "1", "--json", "--port"];
    let mut child =
        command(&arguments).arg("0").stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let opened: serde_json::Value = serde_json::from_str(&line).unwrap();
    let url = opened["url"].as_str().unwrap();
    let address = url.strip_prefix("http://").unwrap().trim_end_matches('/').to_owned();

    let mut page = String::new();
    let mut visitor = TcpStream::connect(&address).unwrap();
    write!(visitor, "GET / HTTP/1.1\r\nHost: {address}\r\n\r\n").unwrap();
    visitor.read_to_string(&mut page).unwrap();
    assert!(page.starts_with("HTTP/1.1 200 OK\r\n") && page.contains("demo.js"), "{page}");

    let port = address.rsplit(':').next().unwrap();
    taper(&[&arguments[..], &[port]].concat()).refuses(2, &[port, "choose another"]);

    let sent = Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    assert!(sent.success());
    assert_eq!(child.wait().unwrap().code(), Some(0));
    assert!(TcpStream::connect(&address).is_err());
}
