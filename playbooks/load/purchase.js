// A customer who buys a ticket, as k6.run sends one after the other: is the service there, then a purchase that is marked as a load test.
//
// It must not buy anything: X-Load-Test asks the service to go the whole way but for the purchase itself. How many come in which time is the
// step's to say, not this file's. __ENV.BASE_URL is the service, __ENV.EVENT_ID the event, __ENV.TOKEN what the service may ask for.
import http from "k6/http";
import { check } from "k6";

const base = __ENV.BASE_URL;
const headers = { "Content-Type": "application/json", "X-Load-Test": "true" };
if (__ENV.TOKEN) {
  headers.Authorization = `Bearer ${__ENV.TOKEN}`;
}

export default function () {
  const body = JSON.stringify({ eventId: __ENV.EVENT_ID, quantity: 2 });
  const bought = http.post(`${base}/purchases`, body, { headers, tags: { name: "purchase" }, timeout: "10s" });
  check(bought, { "the purchase was taken": (answer) => answer.status === 202 });
}
