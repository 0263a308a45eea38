// Starts the page. A module that cannot be loaded, as from a server that is just being restarted or that limits how
// often somebody may connect, is fetched again by loading the page anew, a few times and ever more patiently.

const key = "tutti.starts";
import("./app.js").then(() => { try { sessionStorage.removeItem(key); } catch { /* Nothing was kept. */ } }, fault => {
  // A browser that keeps nothing could not count, and would load the page for ever: this throws there.
  const starts = Number(sessionStorage.getItem(key) ?? 0) + 1;
  if (!(fault instanceof TypeError) || starts > 5) throw fault;
  sessionStorage.setItem(key, String(starts));
  setTimeout(() => location.reload(), 1000 * starts);
});
