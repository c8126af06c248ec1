// Takes pictures, sends some at a time, waits where the server says so, and shows what became of each.

import { Batch, recall } from "./batch.js";
import { byId, say, wait } from "./dom.js";
import { Item } from "./item.js";
import { smaller } from "./pictures.js";
import { aboutLabels, ask, mayRetry, passes, post, reason, reasonToWait } from "./send.js";

const AT_ONCE = 3; // uploads on their way at a time
const TRIES = 8; // while the server says it is busy
const LONGEST = 60; // seconds to wait for one try

export class Uploader {
  constructor(form) {
    this.form = form;
    this.batch = new Batch(form);
    this.waiting = [];
    this.running = 0;
    this.until = 0; // when the server takes pictures of this visitor again, in ms
  }

  get items() {
    return this.batch.items;
  }

  add(files) {
    const alone = !this.items.length && files.length === 1;
    const fresh = [...files].map((file) => this.#list(new Item({ file, alone })));
    if (!fresh.length) return;
    this.#show();
    say(alone ? `Sending ${fresh[0].name}` : `Sending ${fresh.length} pictures`);
    this.#start(fresh);
  }

  // The list of several pictures once more, after a look at one of them.
  restore() {
    for (const record of recall()) this.#list(new Item({ record }));
    if (this.items.length) this.#show();
  }

  #list(item) {
    item.order = this.items.length;
    item.again.onclick = () => {
      item.retry();
      this.#start([item]);
    };
    this.items.push(item);
    return item;
  }

  #show() {
    document.documentElement.classList.add("sending");
    this.form.querySelector(".drop").classList.add("compact");
    byId("uploads").hidden = false;
    byId("queue").closest("table").classList.toggle("single", this.items.length === 1);
    this.batch.update();
    byId("uploads").scrollIntoView({ block: this.items.length === 1 ? "nearest" : "start" });
  }

  async #start(items) {
    const problem = await ask(this.form);
    if (problem) for (const item of items) this.#refuse(item, problem);
    else this.waiting.push(...items);
    this.#next();
  }

  #next() {
    while (this.waiting.length && this.running < AT_ONCE) {
      this.running += 1;
      this.#send(this.waiting.shift()).finally(() => {
        this.running -= 1;
        this.#next();
      });
    }
    this.batch.update();
  }

  async #send(item) {
    item.show("Preparing", null);
    const file = await smaller(item.file);
    const limit = Number(this.form.dataset.maxMb);
    if (file.size > 1e6 * limit) {
      // The server would say so, too, but only once it had all of it.
      return item.fail(`This file is ${(file.size / 1e6).toFixed(1)} MB; the limit is ${limit} MB.`);
    }
    for (let tries = 1; ; ) {
      await this.#countDown(item);
      item.show("Uploading", 0);
      const answer = await post(this.form, file, (share) => {
        if (share < 1) item.show(`Uploading ${Math.floor(100 * share)} %`, share);
        else item.show("Classifying", null);
      });
      if (answer.status === 201) return this.#finish(item, answer.body);
      if (answer.status !== 429) tries += 1; // the limit of a minute passes for certain, a crowd may not
      if (!passes(answer) || tries > TRIES) return this.#refuse(item, answer);
      this.why = reasonToWait(answer);
      this.until = Math.max(this.until, Date.now() + 1000 * Math.min(answer.retryAfter, LONGEST));
    }
  }

  async #countDown(item) {
    for (let left; (left = Math.ceil((this.until - Date.now()) / 1000)) > 0; ) {
      item.show(`${this.why} Trying again in ${left} s.`, null);
      await wait(Math.min(1, (this.until - Date.now()) / 1000));
    }
  }

  #refuse(item, answer) {
    if (aboutLabels(answer)) this.form.querySelector(".labels-choice").open = true;
    item.fail(reason(answer), mayRetry(answer));
    this.batch.update();
  }

  #finish(item, record) {
    item.succeed(record);
    if (this.items.length > 1) return;
    this.leaving = true;
    location.assign(item.link.href);
  }
}
