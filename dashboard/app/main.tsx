import "../shared/insecure-context";
import "./style.css";
import { StrictMode } from "react";
import { createRoot } from "react-dom/client";
import { surviveTranslators } from "../shared/translated-text";
import { App } from "./app";

const root = document.getElementById("page");
if (!root) throw new Error('The HTML page has no element with the id "page".');
// Dialogs are outside of the root element.
surviveTranslators(document.body);
createRoot(root).render(
  <StrictMode>
    <App />
  </StrictMode>,
);
