// A TCP port whose connections go on to another one in TLS, from a given source address:
//   node bridge.mjs TLS_PORT SOURCE_ADDRESS
// Prints its own port. For clients that speak no TLS.
import net from "node:net";
import tls from "node:tls";

const [port, localAddress] = process.argv.slice(2);
const server = net.createServer({ noDelay: true }, (client) => {
  const raw = net.connect({ host: "127.0.0.1", port, localAddress, noDelay: true });
  const proxy = tls.connect({ socket: raw, servername: "piano.example.org", rejectUnauthorized: false });
  for (const end of [client, proxy, raw]) {
    end.on("error", () => {});
    end.on("close", () => { client.destroy(); raw.destroy(); });
  }
  client.pipe(proxy).pipe(client);
});
server.listen(0, "127.0.0.1", () => console.log(server.address().port));
