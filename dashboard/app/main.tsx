import "./style.css";
import { StrictMode } from "react";
import { createRoot } from "react-dom/client";
import { App } from "./app";

const root = document.getElementById("page");
if (!root) throw new Error('The HTML page has no element with the id "page".');
createRoot(root).render(
  <StrictMode>
    <App />
  </StrictMode>,
);
