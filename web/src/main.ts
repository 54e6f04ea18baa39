// Starts the dashboard.
import { mount } from "svelte";
import App from "./App.svelte";
import "./app.css";
import { startTheme } from "./theme.svelte";

const target = document.getElementById("app");
if (!target) throw new Error("the page has no #app");
startTheme();
mount(App, { target });
